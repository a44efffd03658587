"""Presets are named, explained, and mean what their papers say."""

from __future__ import annotations

import pytest

from director.presets import LATER, PRESETS
from shots.spec import Cfg, Iid, NoChain, Pyoco, Recipe, VidRD


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


def test_the_default_order_is_kept_in_one_place() -> None:
    assert PRESETS["standard"]().recipe == Recipe()
    assert isinstance(PRESETS["independent"]().recipe.chain, NoChain)


def test_no_preset_is_named_like_a_method_to_come() -> None:
    assert not set(LATER) & set(PRESETS)
