"""The benchmarks that docs/chaining.md and docs/methods.md quote: what they compare is allowed, and compared fairly."""

from __future__ import annotations

import math

import pytest

from director.bench import BENCHMARKS, continuity, quality
from shots.chain import check_chain
from shots.models import describe
from shots.pocket.evaluate import Score, prompts
from shots.pocket.measures import Stability
from shots.sense import nonsense
from shots.spec import Anchor, VidRD, Windows

WAYS = [(model, way) for model, ways in continuity.WAYS.items() for way in ways]


def chains(model: str, way: continuity.Way) -> list:
    return list(continuity._chains(describe(model), way, 2, 12))


@pytest.mark.parametrize(("model", "way"), WAYS, ids=[f"{model}: {way.name}" for model, way in WAYS])
def test_every_way_is_one_that_a_storyboard_could_ask_for(model: str, way: continuity.Way) -> None:
    card = describe(model)
    made = chains(model, way)
    assert len(made) == 2 * len(continuity.PROMPTS)
    for specs in made:
        check_chain(tuple(specs), None)
        assert len(specs) == continuity.CLIPS
        assert not list(nonsense(specs[0].recipe, card, {card.ref(): card}, specs[0].frames))
        assert len({spec.key for spec in specs}) == continuity.CLIPS
        linked = isinstance(way.chain, VidRD | Anchor)
        assert [spec.previous for spec in specs[1:]] == [before.key if linked else None for before in specs[:-1]]
        assert (specs[0].together is not None) == isinstance(way.chain, Windows)


def test_all_ways_of_a_model_have_the_same_prompts_and_seeds() -> None:
    for model, ways in continuity.WAYS.items():
        asked = {tuple((s.prompt, s.seed) for specs in chains(model, way) for s in specs) for way in ways}
        assert len(asked) == 1
        assert len({way.name for way in ways}) == len(ways)


def test_every_method_of_the_comparison_is_one_that_a_storyboard_could_ask_for() -> None:
    cards = {card.ref(): card for card in map(describe, ("pocket", "pocket-image", "pocket-teacher"))}
    for name, recipe in quality.recipes().items():
        assert not list(nonsense(recipe, describe("pocket"), cards, 8)), name
    (one, *_) = prompts(1, 1)
    specs = [quality._spec(recipe, one, 0, 16) for recipe in quality.recipes().values()]
    assert len({spec.key for spec in specs}) == len(specs)
    assert len({(spec.prompt, spec.seed) for spec in specs}) == 1


def test_methods_are_compared_prompt_by_prompt() -> None:
    def scored(jitters: list[float]) -> list[Score]:
        return [Score({"all parts": j < 0.5}, Stability(j, 0.0, 1.0, 0.0, 0.9, 1.0)) for j in jitters]

    bare = scored([0.1, 0.2, 0.9, 0.4])
    marks = quality._marks(scored([0.05, 0.3, 0.8, 0.4]), bare, 48)
    assert (marks["steadier"].mean, marks["steadier"].n) == (0.5, 4)  # an equal one is no steadier
    assert marks["all parts"].mean == 0.75
    assert marks["nfe"].mean == 48
    assert quality._marks(bare, bare, 32)["steadier"].n == 0
    assert math.isclose(marks["area_jitter"].mean, 0.3875)


def test_a_benchmark_is_known_by_its_name() -> None:
    assert {"continuity", "quality", "methods"} <= set(BENCHMARKS)
