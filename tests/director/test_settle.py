"""What a shot is told about a model that is not here: one with traits that no embedded model has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from director.findings import Findings
from director.methods import Model
from director.settle import SettledShot, Settler
from director.source import read
from director.storyboard import load
from shots.backbones.families import Traits
from shots.models import describe

BOARD = """\
schema: longtake.storyboard.v1
film: {id: f, fps: 8, size: [64, 64]}
defaults: {model: pocket, negative_prompt: fog, clip_frames: 8}
shots: [{id: a, prompt: a red boat, frames: 20, recipe: RECIPE, draft: {size: [32, 32]}}]
"""


def settled(tmp_path: Path, traits: Traits, recipe: str = "standard") -> tuple[SettledShot | None, str]:
    """The shot of a board whose model has other traits than it says, and all complaints."""
    path = tmp_path / "film.yaml"
    path.write_text(BOARD.replace("RECIPE", recipe))
    (board,) = load(path)
    findings, card = Findings(read(path)), replace(describe("pocket"), traits=traits)
    settler = Settler(board.board.film, board.board.defaults, findings, tmp_path, {Model(id="pocket"): card})
    made = settler.shot(0, board.board.shots[0], board.shots[0].timed)
    return made, "\n".join(map(str, findings.problems))


def test_a_negative_prompt_that_a_distilled_model_has_no_use_for_is_said(tmp_path: Path) -> None:
    shot, problems = settled(tmp_path, Traits(distilled=True))
    assert problems == ""
    assert shot is not None
    assert any("negative_prompt: pocket is guidance-distilled" in note for note in shot.notes)
    plain, _ = settled(tmp_path, Traits())
    assert plain is not None
    assert not any("negative_prompt" in note for note in plain.notes)


@pytest.mark.parametrize("size", ["size: [64, 64]", "size: [32, 32]"])
def test_a_teacher_must_make_the_film_s_size_and_the_draft_s(size: str, tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(BOARD.replace("RECIPE", "{videoguide: {teacher: pocket-teacher}}").replace("size: [32, 32]", size))
    (board,) = load(path)
    findings = Findings(read(path))
    teacher = replace(describe("pocket-teacher"), size_multiple=64)
    cards = {Model(id="pocket"): describe("pocket"), Model(id="pocket-teacher"): teacher}
    Settler(board.board.film, board.board.defaults, findings, tmp_path, cards).shot(
        0, board.board.shots[0], board.shots[0].timed
    )
    said = "\n".join(map(str, findings.problems))
    assert ("draft.size" in said and "multiples of 64" in said) == ("32" in size)
