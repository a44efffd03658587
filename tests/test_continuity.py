"""Kinds of continuity beside VidRD, as a user renders them: windows, and clips that dissolve into each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commandline import SMALL, Longtake, decoded

RENDER = ("render", "small.yaml", "--progress", "none")
WINDOWS = SMALL.replace("  clip_frames: 8\n", "  clip_frames: 8\n  recipe: windows\n")
BLEND = SMALL.replace("  clip_frames: 8\n", "  clip_frames: 8\n  recipe: {chain: {boundary: blend}}\n")


@pytest.mark.parametrize("lockstep", ["1", "8"])
def test_windows_are_rendered_together_whatever_the_group_size(lockstep: str, longtake: Longtake, small: Path) -> None:
    small.write_text(WINDOWS)
    longtake(*RENDER, "--lockstep", lockstep)
    assert json.loads(longtake("verify", "--json").stdout)["ok"]
    longtake("plan", "small.yaml", "--check")


def test_a_lost_take_of_windows_is_made_again_and_the_film_is_the_same(longtake: Longtake, small: Path) -> None:
    small.write_text(WINDOWS)
    longtake(*RENDER)
    film = small.parent / "films/small.mp4"
    before = decoded(film)
    takes = sorted((small.parent / ".longtake").rglob("sha256-*.mkv"))
    takes[0].chmod(0o644)
    takes[0].unlink()
    film.unlink()
    longtake(*RENDER)
    assert decoded(film) == before
    assert json.loads(longtake("verify", "--json").stdout)["ok"]


def test_blending_renders_nothing_anew(longtake: Longtake, small: Path) -> None:
    longtake(*RENDER)
    plain = decoded(small.parent / "films/small.mp4")
    small.write_text(BLEND)
    longtake("plan", "small.yaml", "--check")  # nothing is missing
    longtake(*RENDER)
    assert decoded(small.parent / "films/small.mp4") != plain
