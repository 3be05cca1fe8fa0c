"""Links in the documentation lead somewhere, and its commands exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from repository import ROOT, tracked

import veriflock

PAGES = [path for path in tracked() if path.suffix == ".md"]
LINK = re.compile(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_relative_links_of_a_page_lead_somewhere(page: Path) -> None:
    for match in LINK.finditer(prose(page)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert ROOT in path.parents, target
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), target


def commands(first: str) -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every line of a code block that begins with a command."""
    for page in PAGES:
        for block in FENCE.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if line.removeprefix("$ ").split(" ")[0] == first:
                    yield str(page.relative_to(ROOT)), shlex.split(line.removeprefix("$ "), comments=True)[1:]


SHOWN = list(commands("veriflock"))


@pytest.fixture(scope="module")
def root() -> Any:
    return typer.main.get_command(veriflock.build(None))


@pytest.mark.parametrize(("page", "words"), SHOWN, ids=[" ".join(words) for _, words in SHOWN])
def test_a_command_of_the_documentation_exists_with_its_options(page: str, words: list[str], root: Any) -> None:
    command, rest = root, list(words)
    while (commands := getattr(command, "commands", {})) and rest and not rest[0].startswith("-"):
        assert rest[0] in commands, f"{page}: {rest[0]} is not one of {sorted(commands)}"
        command = commands[rest.pop(0)]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in options | {"--help"}, f"{page}: {word}"


def test_the_documentation_shows_how_to_verify() -> None:
    assert any(words[:1] == ["verify"] for _, words in SHOWN)


@pytest.mark.parametrize(("page", "words"), list(commands("make")), ids=lambda v: str(v))
def test_a_make_target_of_the_documentation_exists(page: str, words: list[str]) -> None:
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for word in words:
        assert "=" in word or word in targets, page


def test_every_module_cites_sections_of_the_protocol_that_exist() -> None:
    sections = set(
        re.findall(r"^## (\d)\. ", (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for path in tracked():
        if path.suffix in (".py", ".sol") and "tests" not in path.parts:
            for cited in re.findall(r"docs/protocol\.md sections? ([\d, andto]+)", path.read_text(encoding="utf-8")):
                assert set(re.findall(r"\d", cited)) <= sections, path
