"""The chain that a clip's record tells is the chain that led to it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cluster.heritage import chain_of, chain_record
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler

FIRST = ClipSpec(ModelRef("m", "sha256:0", "f"), 64, 64, 8, "one", "", 7, 0, Sampler(steps=4), Recipe())


def chain(prompts: list[str], steps: list[int]) -> list[ClipSpec]:
    made: list[ClipSpec] = []
    for n, (prompt, step) in enumerate(zip(prompts, steps, strict=True)):
        previous = made[-1].key if made else None
        made.append(replace(FIRST, prompt=prompt, sampler=Sampler(steps=step), index=n, previous=previous))
    return made


@given(st.lists(st.tuples(st.sampled_from(["one", "two"]), st.sampled_from([4, 5])), min_size=1, max_size=12))
def test_what_is_told_is_what_was(clips: list[tuple[str, int]]) -> None:
    made = chain([prompt for prompt, _ in clips], [step for _, step in clips])
    *before, last = made
    told = chain_record(last, before)
    assert chain_of(last, told) == before
    assert (told == []) == (not before)


def test_a_long_shot_is_told_in_a_line() -> None:
    made = chain(["one"] * 1000, [4] * 1000)
    assert chain_record(made[-1], made[:-1]) == [[999, {}]]


def test_a_clip_that_stands_elsewhere_than_it_was_made_is_told_as_it_is() -> None:
    """A pinned clip keeps its own index and its own `previous`."""
    first, second, third = chain(["one", "two", "one"], [4, 4, 4])
    odd = replace(second, index=5)
    last = replace(third, previous=odd.key)
    assert chain_of(last, chain_record(last, [first, odd])) == [first, odd]
