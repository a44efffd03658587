"""Keys: what changes them, what does not, and that a stored spec comes back as it was."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shots.errors import SpecError
from shots.price import predicted_nfe
from shots.spec import (
    Cfg,
    CfgPlusPlus,
    ClipSpec,
    Iid,
    ModelRef,
    NoChain,
    Pyoco,
    Recipe,
    Sampler,
    VidRD,
)

SPEC = ClipSpec(
    ModelRef("pocket", "sha256:0", "animatediff"), 64, 64, 16, "a boat", "fog", 7, 1, Sampler(), Recipe(), "abc"
)

unit = st.floats(0, 1)
recipes = st.builds(
    Recipe,
    st.one_of(st.builds(Cfg, st.floats(0, 20)), st.builds(CfgPlusPlus, unit)),
    st.one_of(st.just(Iid()), st.builds(Pyoco, st.sampled_from(["mixed", "progressive"]), st.floats(0, 9))),
    st.one_of(
        st.just(NoChain()),
        st.builds(
            VidRD,
            st.integers(0, 16),
            st.floats(0, 9),
            unit,
            st.sampled_from(["staged", "constant"]),
            st.sampled_from(["forward", "reverse"]),
        ),
    ),
)
specs = st.builds(
    replace,
    st.just(SPEC),
    prompt=st.text(),
    seed=st.integers(),
    recipe=recipes,
    index=st.integers(0, 99),
    previous=st.one_of(st.none(), st.text(min_size=1)),
)


@given(spec=specs)
def test_a_spec_survives_json(spec: ClipSpec) -> None:
    again = ClipSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.key == spec.key
    assert hash(again) == hash(spec)


@given(one=specs, other=specs)
def test_keys_are_equal_exactly_when_specs_are(one: ClipSpec, other: ClipSpec) -> None:
    assert (one.key == other.key) == (one == other)


def test_every_field_that_decides_pixels_changes_the_key() -> None:
    changed = [
        replace(SPEC, width=128),
        replace(SPEC, height=128),
        replace(SPEC, frames=8),
        replace(SPEC, prompt="a ship"),
        replace(SPEC, negative_prompt=""),
        replace(SPEC, seed=8),
        replace(SPEC, index=2),
        replace(SPEC, previous="abd"),
        replace(SPEC, sampler=Sampler("ddim", 26)),
        replace(SPEC, model=replace(SPEC.model, digest="sha256:1")),
        replace(SPEC, model=replace(SPEC.model, dtype="float16")),
        replace(SPEC, recipe=Recipe(guidance=Cfg(3.5))),
        replace(SPEC, recipe=Recipe(guidance=CfgPlusPlus(0.6))),
        replace(SPEC, recipe=Recipe(prior=Pyoco())),
        replace(SPEC, recipe=Recipe(chain=VidRD(3))),
        replace(SPEC, recipe=Recipe(chain=NoChain())),
    ]
    assert len({spec.key for spec in [SPEC, *changed]}) == 1 + len(changed)


def test_equal_settings_are_one_key_however_they_are_written() -> None:
    whole, real = (replace(SPEC, recipe=Recipe(Cfg(s), Pyoco("mixed", a))) for s, a in ((3, 0), (3.0, -0.0)))
    assert whole == real
    assert whole.key == real.key


def test_where_the_model_lies_does_not_change_the_key() -> None:
    assert replace(SPEC, model=replace(SPEC.model, id="/elsewhere")).key == SPEC.key


def test_golden_key() -> None:
    """Ledgers hold keys: when this moves, all that was rendered is rendered again. Change a version, not this."""
    assert SPEC.key == GOLDEN


GOLDEN = "fc1553649116c3b33ae3cb3066261f8120421206762d1586fcce596b78c2e543"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "FilmSpec"}, "a FilmSpec of version 1 cannot be read as ClipSpec 1"),
        ({"version": 2}, "a ClipSpec of version 2"),
        ({"colour": "red"}, "colour"),
        ({"model": None}, "not a clip spec"),
        ({"recipe": {"guidance": {"kind": "cfg", "version": 9, "scale": 1.0}}}, "cfg of version 9"),
        ({"recipe": {"guidance": {"kind": "magic", "version": 1}}}, "not a clip spec: 'magic'"),
    ],
)
def test_a_spec_of_another_kind_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ClipSpec.from_dict(SPEC.to_dict() | change)


@pytest.mark.parametrize(
    ("chain", "index", "start", "dropped"),
    [
        (VidRD(4, order="forward"), 0, 0, 0),
        (VidRD(4, order="forward"), 3, 36, 4),
        (VidRD(4, order="reverse"), 3, 48, 0),
        (NoChain(), 3, 48, 0),
    ],
)
def test_where_a_clip_stands_in_its_shot(chain: VidRD | NoChain, index: int, start: int, dropped: int) -> None:
    spec = replace(SPEC, index=index, recipe=Recipe(chain=chain))
    assert (spec.start, spec.dropped) == (start, dropped)


@given(
    m=st.integers(0, 24),
    beta=unit,
    steps=st.integers(1, 100),
    schedule=st.sampled_from(["staged", "constant"]),
)
def test_copies_fall_from_frame_to_frame_and_never_pass_the_steps(
    m: int, beta: float, steps: int, schedule: str
) -> None:
    counts = [VidRD(m, 1.0, beta, schedule).copies(j, steps) for j in range(m + 2)]
    assert counts == sorted(counts, reverse=True)
    assert counts[m:] == [0, 0]
    assert 0 <= max(counts) <= steps
    assert all(c >= beta * steps * (1 - j / m if schedule == "staged" else 1) - 1e-6 for j, c in enumerate(counts[:m]))


def test_the_bill() -> None:
    with_scale = [replace(SPEC, recipe=Recipe(guidance=g)) for g in (Cfg(1.0), Cfg(0.0), Cfg(3.0), CfgPlusPlus(1.0))]
    assert [predicted_nfe(spec) for spec in with_scale] == [25, 50, 50, 50]
