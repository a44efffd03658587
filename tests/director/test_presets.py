"""Presets are named, explained, and mean what their papers say."""

from __future__ import annotations

import pytest

from director.presets import IMAGE_MODEL, PRESETS
from shots.spec import Cfg, CfgPlusPlus, Iid, IvMixed, ModelRef, NoChain, Pyoco, Recipe, VideoGuide, VidRD


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
    guided = PRESETS["published/videoguide"]().recipe
    assert guided.guidance == CfgPlusPlus(0.8)
    assert guided.videoguide == VideoGuide(None, steps=5, tau=10, beta=0.8, cutoff=0.125, order=4)
    mixed = PRESETS["published/iv_mixed"]().recipe
    assert mixed.guidance == Cfg(7.5)
    assert mixed.iv_mixed == IvMixed(ModelRef(IMAGE_MODEL), "ms", (4.0, 4.0), (4.0, 4.0), 7.0)


def test_the_default_order_is_kept_in_one_place() -> None:
    assert PRESETS["standard"]().recipe == Recipe()
    assert isinstance(PRESETS["independent"]().recipe.chain, NoChain)
