"""The console command: finds the commands of the roles that are installed, and turns their errors into one line.

Responsible for: `veriflock <command>`, exit codes, and never a traceback in front of a user.
Must not know:   what any command does.
"""

from __future__ import annotations

import os
import sys

try:
    import re
    from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires, version

    import typer
    from rich.console import Console
    from typer.exceptions import TyperException

    from protocol.errors import EXIT_CODES, UnavailableError, VeriflockError
except KeyboardInterrupt:  # these take long enough to be interrupted
    sys.exit(130)

GROUP = "veriflock.commands"
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""


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

    app.callback()(lambda: None)  # else a single command would stand for the whole

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


def known_names(error: TyperException) -> list[str]:
    """All options, or all commands, that could stand where a usage error says that there is no such one."""
    command = getattr(getattr(error, "ctx", None), "command", None)
    if hasattr(error, "possibilities"):  # an unknown option; no other usage error has this field
        return sorted(
            name for parameter in getattr(command, "params", ()) for name in parameter.opts if name[:2] == "--"
        )
    return sorted(getattr(command, "commands", ()))


def run(app: typer.Typer) -> int:
    """The exit code of a command line.

    A known error is one line on standard error; Ctrl-C is 130.  A reader who has gone away is 2: what was found is not
    told to the end.
    """
    try:
        return int(app(standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _unread()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # Rich and Typer make an exit with 1 of it: "refuted"
            return _unread()
        raise
    except TyperException as error:
        names = ", ".join(known_names(error))
        _complain(f"{error.message.rstrip('.')}; there are {names}" if names else error.format_message())
        return error.exit_code
    except (VeriflockError, UnavailableError, OSError) as error:
        _complain(str(error))
        return exit_code(error)


def main() -> None:
    """`veriflock`."""
    try:
        code = run(build(sys.argv[1] if len(sys.argv) > 1 else None))
    except KeyboardInterrupt:  # while commands are loaded
        code = INTERRUPTED
    sys.exit(code)


def _unread() -> int:
    """What is still in the buffer goes nowhere, else the interpreter would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2


def _complain(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {text}", markup=False, style="red")


if __name__ == "__main__":
    main()
