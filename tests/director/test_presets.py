"""Presets are named, explained, and mean what their papers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from director.plan import plan
from director.presets import IMAGE_MODEL, PRESETS
from director.storyboard import load
from shots.price import bill
from shots.spec import Cfg, CfgPlusPlus, Iid, IvMixed, ModelRef, NoChain, Pyoco, Recipe, Stg, VideoGuide, VidRD

BOARD = """\
schema: longtake.storyboard.v1
film: {{id: f, fps: 8}}
defaults: {{model: pocket, recipe: {preset}}}
shots: [{{id: a, prompt: a red boat, frames: 20}}]
"""


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_is_deterministic_and_explains_itself(name: str) -> None:
    make = PRESETS[name]
    assert make() == make()
    assert make.__doc__
    assert make().sampler.steps >= 1


def test_the_papers_settings() -> None:
    vidrd = PRESETS["published/vidrd"]()
    assert vidrd.recipe == Recipe(Cfg(10.0), Iid(), VidRD(4, 4.0, 0.4, "staged", "reverse"))
    assert vidrd.sampler.steps == 50
    assert PRESETS["published/pyoco"]().recipe.prior == Pyoco("progressive", 2.0)
    guided, guided_steps = PRESETS["published/videoguide"]().recipe, PRESETS["published/videoguide"]().sampler.steps
    assert guided.guidance == CfgPlusPlus(0.8)
    assert guided.videoguide == VideoGuide(None, steps=5, tau=10, beta=0.8, cutoff=0.125, order=4)
    skipping = PRESETS["published/stg"]()
    assert skipping.recipe == Recipe(Cfg(5.0), chain=NoChain(), stg=Stg(scale=1.0, mode="residual", layers=()))
    assert skipping.sampler.steps == guided_steps == 50
    mixed = PRESETS["published/iv_mixed"]().recipe
    assert mixed.guidance == Cfg(7.5)
    assert mixed.iv_mixed == IvMixed(ModelRef(IMAGE_MODEL), "ms", (4.0, 4.0), (4.0, 4.0), 7.0)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_can_be_planned_on_the_embedded_model(name: str, tmp_path: Path) -> None:
    """And costs what docs/methods.md says of its methods."""
    (tmp_path / "film.yaml").write_text(BOARD.format(preset=name))
    (board,) = load(tmp_path / "film.yaml")
    (shot,) = plan(board).shots
    made = PRESETS[name]()
    clip, steps = shot.clips[0], made.sampler.steps
    assert clip.spec.sampler.steps == steps
    assert clip.spec.recipe.guidance == made.recipe.guidance
    price = bill(clip.spec)
    assert price["guidance"] == 2 * steps
    guide = made.recipe.videoguide
    assert price.get("videoguide", 0) == (2 * guide.steps * guide.tau if guide else 0)
    assert price.get("iv_mixed", 0) == (8 * steps if made.recipe.iv_mixed else 0)
    assert (price.get("stg", 0) > 0) == (made.recipe.stg is not None)


def test_the_default_order_is_kept_in_one_place() -> None:
    assert PRESETS["standard"]().recipe == Recipe()
    assert isinstance(PRESETS["independent"]().recipe.chain, NoChain)
