"""What `longtake models` says of families that are not here, and docs/models.md with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from director.catalogue import families
from shots.backbones.families import ALL

PAGE = (Path(__file__).parents[2] / "docs/models.md").read_text()
KNOWN: dict[str, dict[str, Any]] = {family["family"]: family for family in families()}
VIDEO = [family.name for family in ALL if family.makes_video]


def test_every_family_says_what_it_makes_and_how() -> None:
    assert list(KNOWN) == [family.name for family in ALL]
    wan = KNOWN["wan"]
    assert (wan["frames"], wan["frames_native"], wan["size_native"]) == ("1 to 4093 in steps of 4", 81, [832, 480])
    assert wan["default_layers"] == ["8"]
    assert wan["layers"] == [str(i) for i in range(30)]
    assert KNOWN["stable_diffusion"]["methods"] == {"iv_mixed": "as its image model"}


@pytest.mark.parametrize("name", VIDEO)
def test_the_page_says_what_works_where(name: str) -> None:
    table = PAGE.partition("## What works where")[2].partition("## ")[0]
    (row,) = (line for line in table.splitlines() if re.match(rf"^\|[^|]*`{name}`", line))
    _, _, plus, stg, guide, mixed, order, windows = (cell.strip() for cell in row.strip("|").split("|"))
    can = {method: said == "yes" for method, said in KNOWN[name]["methods"].items()}
    assert plus.startswith("yes") == can["cfg_plus_plus"]
    assert mixed.startswith("yes") == can["iv_mixed"]
    assert {"both": True, "forward": False}[order] == can["vidrd reverse"]
    assert (guide, windows) == ("yes", "yes")
    assert {"cfg", "stg", "videoguide", "vidrd forward", "windows"} <= {method for method, yes in can.items() if yes}
    (layer,) = KNOWN[name]["default_layers"]
    assert re.search(rf"\b{layer}\b" if layer.isdigit() else "first `up` that has attention", stg)
    assert can["anchor"] == (KNOWN[name]["start_image"] != "no")
