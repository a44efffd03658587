"""docs/methods.md has a section for each paper, with all settings and the defaults that the code has."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from director.presets import PRESETS
from shots.settings import IvMixed, Pyoco, Stg, VideoGuide, VidRD

PAGE = (Path(__file__).parents[2] / "docs/methods.md").read_text()
PAPERS = {"PYoCo": Pyoco, "VidRD": VidRD, "VideoGuide": VideoGuide, "STG": Stg, "IV-Mixed": IvMixed}
SPOKEN = {True: "true", False: "false", (4.0, 4.0): "4 to 4", (): "the family's", None: ""}
"""Defaults that a person says otherwise."""
OURS = {"teacher": "the model itself", "until": "5", "boundary": "`drop` (forward), `append` (reverse)", "kind": "iid"}
"""Defaults that hang on something else."""


def section(name: str) -> str:
    (found,) = re.findall(rf"^## {name}: .*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    return found


def told(text: str) -> dict[str, list[str]]:
    """Setting -> the defaults in its row of the table; several settings may share one."""
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", text, re.MULTILINE)
    return {name: default.split(", ") for names, default in rows for name in re.findall(r"`(?:\w+\.)?(\w+)`", names)}


@pytest.mark.parametrize("name", PAPERS)
def test_every_setting_has_its_default_and_every_section_its_parts(name: str) -> None:
    text, kind = section(name), PAPERS[name]
    table = told(text)
    for field in fields(kind):
        default: Any = field.default
        assert field.name in table, f"{name} has a setting {field.name}"
        if default is MISSING:
            continue
        shown = SPOKEN[default] if isinstance(default, bool | tuple | None) else str(default)
        shown = f"{default:g}" if type(default) is float else shown
        spoken = OURS.get(field.name, shown)
        cell = ", ".join(table[field.name])
        assert re.search(rf"(?<![\w.]){re.escape(spoken)}(?![\w.])", cell), f"{name}.{field.name}: {cell}"
    assert set(table) <= {field.name for field in fields(kind)} | {"kind"}
    for part in ("arxiv.org/abs/", "**Helps**", "**Hurts**", "What is seen:", "**Differs from", "\n    "):
        assert part in text, f"{name} lacks {part!r}"
    assert (Path(__file__).parents[2] / "docs" / re.findall(r"!\[.+?\]\((.+?)\)", text)[0]).is_file()


def test_every_preset_is_told() -> None:
    table = PAGE.partition("## Presets")[2]
    names = re.findall(
        r"`([\w/]+)`", " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    )
    published = {f"published{name}" if name.startswith("/") else name for name in names}
    assert published == set(PRESETS)
