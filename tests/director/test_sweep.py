"""What `longtake ablate` is about to render: the rules of a storyboard hold for its values, and the shot decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from director.ablation import each_method
from director.errors import UsageError
from director.settle import SettledShot
from director.storyboard import load
from director.sweep import swept
from shots.backbones.families import Traits
from shots.models import describe
from shots.settings import CfgPlusPlus, IvMixed, NoChain, Stg, VideoGuide, VidRD, Windows
from shots.spec import ImageRef

BOARD = """\
schema: longtake.storyboard.v1
film: {id: f, fps: 8, size: [64, 64]}
defaults: {model: pocket, clip_frames: 8, recipe: {guidance: {kind: cfg_plus_plus}}}
shots: [{id: a, prompt: a red boat, frames: 20}]
"""


@pytest.fixture
def shot(tmp_path: Path) -> SettledShot:
    (tmp_path / "film.yaml").write_text(BOARD)
    (board,) = load(tmp_path / "film.yaml")
    return board.shots[0]


def made(shot: SettledShot, setting: str, value: str) -> Any:
    (variant,) = swept(shot, setting, [value], 2, Path.cwd())
    assert variant.name == f"{setting} {value}"
    assert not variant.why_not
    return getattr(variant.recipe, setting.partition(".")[0])


def test_every_kind_of_setting_can_be_swept(shot: SettledShot) -> None:
    assert made(shot, "stg.scale", "2") == Stg(scale=2.0)
    assert made(shot, "stg.layers", "mid+up.0") == Stg(layers=("mid", "up.0"))
    assert made(shot, "stg.use", "off") is None
    assert made(shot, "chain.boundary", "append") == VidRD(boundary="append")
    assert made(shot, "chain.kind", "none") == NoChain()
    assert made(shot, "chain.kind", "windows") == Windows()
    assert made(shot, "videoguide.low_pass", "false") == VideoGuide(low_pass=False)
    assert made(shot, "videoguide.teacher", "pocket-teacher") == VideoGuide(describe("pocket-teacher").ref())
    assert made(shot, "iv_mixed.gamma_image", "2+6") == IvMixed(describe("pocket-image").ref(), gamma_image=(2.0, 6.0))
    assert made(shot, "guidance.scale", "1") == CfgPlusPlus(1.0)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("guidance.scale", "2", "'2': out of range for cfg_plus_plus; allowed: 0 to 1"),
        ("stg.scale", "-1", "at least 0"),
        ("stg.scale", "nan", "must be a number"),
        ("stg.scale", "", "must be a number"),
        ("stg.scale", "{", "must be a number"),
        ("chain.order", "sideways", "allowed: forward, reverse"),
        ("chain.overlap", "2.5", "must be a whole number"),
        ("prior.alpha", "1", "iid has no setting 'alpha'"),
        ("videoguide.teacher", "nowhere", "no model 'nowhere' here"),
        ("stg.strength", "1", "stg has no setting 'strength'; it has use, scale"),
        ("stg.modes", "1", "did you mean 'mode'"),
        ("sampler.steps", "1", "a recipe has no method 'sampler'"),
        ("preset", "film", "a recipe has no method 'preset'"),
    ],
)
def test_what_a_storyboard_may_not_say_is_refused(setting: str, value: str, message: str, shot: SettledShot) -> None:
    with pytest.raises(UsageError, match=message):
        swept(shot, setting, [value], 2, Path.cwd())


def test_what_the_model_cannot_do_is_told_and_not_rendered(shot: SettledShot) -> None:
    (layers, overlap) = (
        *swept(shot, "stg.layers", ["up.9"], 2, Path.cwd()),
        *swept(shot, "chain.overlap", ["9"], 2, Path.cwd()),
    )
    assert "no layer 'up.9'" in layers.why_not
    assert "overlap is 0 to 8" in overlap.why_not  # the shot's clips have 8 frames, whatever the model's own have


def test_a_model_that_needs_a_picture_is_judged_with_the_shot_s_own(shot: SettledShot) -> None:
    card = replace(shot.card, traits=Traits(start_image="must"))
    given = replace(shot, card=card, image=ImageRef("first.png", "sha256:0"))
    why = {variant.name: variant.why_not for variant in each_method(given, 2)}
    assert why["anchor"] == ""
    assert "second clip has none" in why["without methods"]
    alone = {variant.name: variant.why_not for variant in each_method(given, 1)}
    assert alone["without methods"] == alone["STG"] == ""
    assert "anchor" not in {variant.name for variant in each_method(shot, 2)}
