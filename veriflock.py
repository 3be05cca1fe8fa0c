"""The console command: finds the commands of the roles that are installed, and turns their errors into one line.

Responsible for: `veriflock <command>`, exit codes, and never a traceback in front of a user.
Must not know:   what any command does.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires, version

import typer
from rich.console import Console

from protocol.errors import EXIT_CODES, UnavailableError, VeriflockError

GROUP = "veriflock.commands"


def is_installed(extra: str) -> bool:
    """Whether every distribution that a role's extra asks for is there."""
    marker = re.compile(rf"""extra\s*==\s*['"]{extra}['"]""")
    for requirement in requires("veriflock") or []:
        if marker.search(requirement):
            name = re.match(r"[A-Za-z0-9._-]+", requirement)
            try:
                version(name[0] if name else "")
            except PackageNotFoundError:
                return False
    return True


def role_commands() -> list[EntryPoint]:
    """The commands whose role is installed, by name."""
    found = [point for point in entry_points(group=GROUP) if all(is_installed(extra) for extra in point.extras)]
    return sorted(found, key=lambda point: point.name)


def build(only: str | None) -> typer.Typer:
    """The command with one sub-command for each entry point of an installed role.

    only: load just this sub-command, if there is one of that name: an auditor doesn't wait for a coordinator's imports.
    """
    app = typer.Typer(
        name="veriflock",
        help="Federated learning whose every round can be checked.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.command("version")
    def show_version() -> None:
        """Print the version."""
        typer.echo(version("veriflock"))

    points = role_commands()
    known = {"version", *(point.name for point in points)}
    for point in points:
        if only in known and point.name != only:
            continue
        command = point.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=point.name)
        else:
            app.command(point.name)(command)
    return app


def exit_code(error: Exception) -> int:
    """The exit code of an error, by its branch."""
    return next((code for branch, code in EXIT_CODES.items() if isinstance(error, branch)), 2)


def main() -> None:
    """Run; a known error is one line on standard error, Ctrl-C exits with 130."""
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    except (VeriflockError, UnavailableError, OSError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False, style="red")
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
