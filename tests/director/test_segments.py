"""Which runs of clips must be rendered: pure arithmetic on chains."""

from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from director.planned import Plan, PlannedClip, PlannedShot, Slate
from director.segments import segments
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler


def chain(prompts: list[str]) -> list[ClipSpec]:
    specs: list[ClipSpec] = []
    for n, prompt in enumerate(prompts):
        before = specs[-1].key if specs else None
        model = ModelRef("pocket", "sha256:0", "animatediff")
        specs.append(ClipSpec(model, 64, 64, 8, prompt, "", 1, n, Sampler(), Recipe(), before))
    return specs


def film(name: str, *chains: list[ClipSpec]) -> Plan:
    shots = tuple(
        PlannedShot(
            f"s{n}",
            tuple(PlannedClip(Slate(name, f"s{n}", k + 1), spec, spec.key, 0, 8, 50) for k, spec in enumerate(specs)),
            8 * len(specs),
        )
        for n, specs in enumerate(chains)
    )
    return Plan(name, name, Fraction(8), (64, 64), 1, shots, (), sum(s.frames for s in shots), storyboard=Path("x"))


def test_a_whole_chain_is_one_segment():
    specs = chain(["a"] * 6)
    (only,) = segments([film("f", specs)], set())
    assert (only.first, len(only.specs), only.after, only.name) == (1, 6, None, "f/s0/1-6")


def test_a_missing_middle_starts_from_the_tail_before_it():
    specs = chain(["a"] * 5)
    have = {spec.key for spec in specs if spec.index not in (2, 3)}
    (only,) = segments([film("f", specs)], have)
    assert [s.index for s in only.specs] == [2, 3]
    assert only.after == specs[1].key


def test_long_chains_are_split_and_linked():
    specs = chain(["a"] * 7)
    parts = segments([film("f", specs)], set(), lockstep=3)
    assert [len(p.specs) for p in parts] == [3, 3, 1]
    assert [p.after for p in parts] == [None, specs[2].key, specs[5].key]
    assert [p.first for p in parts] == [1, 4, 7]


def test_films_that_share_a_beginning_render_it_once():
    short, long = chain(["a", "a", "a"]), chain(["a", "a", "a", "b", "b"])
    other = chain(["a", "a", "c"])
    parts = segments([film("f", short, other), film("g", long)], set())
    assert [(p.film, p.first, len(p.specs)) for p in parts] == [("g", 1, 5), ("f", 3, 1)]
    assert parts[1].after == long[1].key


@given(
    st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=6), min_size=1, max_size=5),
    st.data(),
    st.integers(1, 4),
)
def test_every_missing_clip_is_rendered_exactly_once_and_can_start(prompts, data, lockstep):
    chains = [chain(p) for p in prompts]
    keys = {spec.key: spec for specs in chains for spec in specs}
    have = data.draw(st.sets(st.sampled_from(sorted(keys))))
    parts = segments([film("f", *chains)], have, lockstep)
    rendered = [key for part in parts for key in part.keys]
    assert len(rendered) == len(set(rendered))
    assert set(rendered) == set(keys) - have
    assert all(len(part.specs) <= lockstep for part in parts)
    for part in parts:
        assert part.after == part.specs[0].previous
        assert part.after is None or part.after in rendered or part.after in have
        for before, after in zip(part.specs, part.specs[1:], strict=False):
            assert after.previous == before.key


def test_parts_know_what_they_cost_and_what_comes_after_them():
    specs = chain(["a"] * 7)
    parts = segments([film("f", specs)], set(), lockstep=3)
    assert [(sum(p.nfe), p.beyond) for p in parts] == [(150, 200), (150, 50), (50, 0)]
    half = parts[0].part(1, 3)
    assert (half.first, half.after, half.beyond, half.name) == (2, specs[0].key, 200, "f/s0/2-3")
    assert parts[0].part(0, 1).beyond == 300
    assert parts[0].part(0, 3) is parts[0]


def test_takes_that_the_film_does_not_show_come_last_and_are_marked():
    from dataclasses import replace

    shown, other = chain(["a"]), chain(["b"] * 5)
    plan = film("f", shown)
    clips = film("f", other).shots[0].clips
    plan = replace(plan, shots=(replace(plan.shots[0], others=(clips,)),))
    parts = segments([plan], set())
    assert [(len(p.keys), p.extra) for p in parts] == [(1, False), (5, True)]


def test_a_piece_ends_at_a_hinge_and_says_so():
    specs = chain(["a"] * 4)
    parts = segments([film("f", specs)], set(), hinges={specs[0].key})
    assert [(len(p.keys), p.hinge) for p in parts] == [(1, True), (3, False)]
