"""What the documents promise must hold: links, commands, options, the generated reference."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from director.reference import reference

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = ("director", "cluster", "shots", "storage")


def test_the_command_reference_is_current():
    message = "run: python -m director.reference > docs/cli.md"
    assert (ROOT / "docs/cli.md").read_text() == reference(), message


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_anchors_exist(page):
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text()):
        assert anchor in anchors(page.parent / target if target else page), f"{page.name}: {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_options_named_in_the_pages_exist(page):
    """In a command, those of that command; elsewhere, those of any."""
    _, *parts = re.split(r"^## longtake (\w+)$", reference(), flags=re.MULTILINE)
    known = {name: options_in(part) for name, part in zip(parts[::2], parts[1::2], strict=True)}
    every = set().union(*known.values()) | {"--help", "--version"}
    for line in page.read_text().splitlines():
        if "longtake " in line and "python -m" not in line:
            assert options_in(line.split("longtake ", 1)[1]) <= every, f"{page.name}: {line.strip()}"
        for name, rest in re.findall(r"\blongtake (\w+)([^`|;]*)", line):
            if name in known:
                assert options_in(rest) <= known[name], f"{page.name}: longtake {name}{rest}"


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


@pytest.mark.parametrize("name", ["film", "test"])
def test_the_readme_has_its_two_commands(name):
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/readme_command.py", name], capture_output=True, text=True, check=True
    )
    assert "constraints.txt" in done.stdout


def test_files_named_in_the_design_page_exist():
    """A file without a room lies where the one before it in its line does: `director/cut.py`, `edit.py`."""
    named = set()
    for line in (ROOT / "docs/design.md").read_text().splitlines():
        folders = [ROOT / room for room in ROOMS]
        for word in re.findall(r"`([\w/]+\.py)`", line):
            if "/" in word:
                folders, word = [(ROOT / word).parent], Path(word).name
            assert any((folder / word).is_file() for folder in folders), f"docs/design.md names {word}: {line}"
            named.add(word)
    assert len(named) > 100


def test_every_error_of_the_trees_is_drawn_in_its_module():
    for room in ROOMS:
        text = (ROOT / room / "errors.py").read_text()
        drawing = text.split('"""')[1]
        names = re.findall(r"^class (\w+)\(", text, re.MULTILINE)
        assert names
        for name in names:
            assert re.search(rf"\b{name}\b", drawing), f"{room}/errors.py does not draw {name}"
