"""Drafts of the first steps: what they leave is what the full clip has there, and going on from it changes no bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from shots.checkpoint import Checkpoint
from shots.drafts import beginnings, drafted
from shots.errors import SpecError
from shots.price import predicted_nfe
from shots.sampling import Solver
from shots.shoot import Footage, Model, Tail, shoot
from shots.spec import (
    Anchor,
    Cfg,
    Chain,
    ClipSpec,
    FreeNoise,
    Iid,
    Pyoco,
    Recipe,
    Sampler,
    Stg,
    VideoGuide,
    VidRD,
    Windows,
)

Maker = Callable[..., list[ClipSpec]]
STEPS, STOP = 5, 2
CHAINS: dict[str, Chain] = {
    "constant": VidRD(4, 1.0, 1.0),
    "paper": VidRD(4, 1.0, 1.0, counts="paper"),
    "staged": VidRD(4, 1.0, 0.6, "staged", "reverse"),
    "windows": Windows(3),
}


def recipe(chain: Chain) -> Recipe:
    prior = FreeNoise() if isinstance(chain, Windows) else Pyoco("progressive", 0.5)
    return Recipe(Cfg(3.0), prior, chain, Stg(scale=0.7, start=0.25), VideoGuide(steps=1, tau=2))


def chained(chain: Maker, model: Model, of: Chain, solver: Solver = "dpmpp_2m") -> list[ClipSpec]:
    """Three clips of one chain, in full."""
    specs = chain(model, 3, recipe=recipe(of))
    return drafted([replace(spec, sampler=Sampler(solver, STEPS)) for spec in specs], None)


def whole(states: list[Footage], keys: tuple[str, ...]) -> Checkpoint:
    """What the drafts have left, as it lies in the store, for the clips of these keys."""
    stored = [made.state.to_bytes("me") for made in states if made.state]
    return Checkpoint.joined([Checkpoint.from_bytes(data) for data in stored], keys)


@pytest.mark.parametrize("name", CHAINS)
def test_a_full_clip_goes_on_from_its_draft_bit_for_bit_and_makes_no_step_twice(
    name: str, tiny: Model, chain: Maker
) -> None:
    full = chained(chain, tiny, CHAINS[name])
    undisturbed = list(shoot(full, tiny))
    drafts = list(shoot(drafted(full, STOP), tiny))
    keys = tuple(spec.key for spec in full)
    assert not {made.spec.key for made in drafts} & set(keys)
    steps: list[tuple[int, int]] = []
    made = list(shoot(full, tiny, start=whole(drafts, keys), on_step=lambda i, of: steps.append((i, of))))
    assert steps == [(i, STEPS) for i in range(STOP + 1, STEPS + 1)]
    for one, other in zip(made, undisturbed, strict=True):
        assert torch.equal(one.latents, other.latents)
        assert np.array_equal(one.frames, other.frames)
        assert one.nfe == other.nfe == predicted_nfe(one.spec)
        assert one.tail is None or (isinstance(one.tail, Tail) and one.tail.to_bytes() == other.tail.to_bytes())
    assert [made.nfe for made in drafts] == [predicted_nfe(made.spec) for made in drafts]
    assert all(one.nfe < other.nfe for one, other in zip(drafts, made, strict=True))


def test_groups_of_drafts_and_of_full_clips_need_not_be_the_same(tiny: Model, chain: Maker) -> None:
    full = chained(chain, tiny, CHAINS["constant"])
    undisturbed = list(shoot(full, tiny))
    first, *rest = drafted(full, STOP)
    drafts = list(shoot([first], tiny))
    drafts += shoot(rest, tiny, drafts[0].tail)
    two = list(shoot(full[:2], tiny, start=whole(drafts[:2], tuple(spec.key for spec in full[:2]))))
    (last,) = shoot(full[2:], tiny, two[1].tail, start=whole(drafts[2:], (full[2].key,)))
    assert all(torch.equal(a.latents, b.latents) for a, b in zip([*two, last], undisturbed, strict=True))


def test_a_draft_shows_the_estimate_of_its_last_step_also_after_a_crash_in_decoding(tiny: Model, chain: Maker) -> None:
    specs = drafted(chained(chain, tiny, CHAINS["windows"]), STOP)
    kept: list[bytes] = []
    whole = list(shoot(specs, tiny, on_state=lambda i, make: kept.append(make().to_bytes("me"))))
    assert len(kept) == STOP
    again = list(shoot(specs, tiny, start=Checkpoint.from_bytes(kept[-1])))
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(again, whole, strict=True))
    assert [made.state.step for made in again if made.state] == [STOP] * 3
    finished = list(shoot(drafted(specs, None), tiny))
    apart = [float((draft.latents - full.latents).abs().mean()) for draft, full in zip(whole, finished, strict=True)]
    noise = [float((draft.state.tensors["x"][0] - draft.latents).abs().mean()) for draft in whole if draft.state]
    assert max(apart) < min(noise)  # an estimate of the clip, not the noisy state


def test_drafts_that_stand_at_different_steps_do_not_go_on_together(tiny: Model, chain: Maker) -> None:
    full = chained(chain, tiny, CHAINS["constant"])[:2]
    one = next(iter(shoot(drafted(full[:1], 1), tiny)))
    two = next(iter(shoot(drafted(full[:1], 2), tiny)))
    with pytest.raises(SpecError, match="steps 1, 2"):
        whole([one, two], tuple(spec.key for spec in full))


def test_only_the_first_of_anchored_clips_is_begun_by_its_draft(tiny: Model, chain: Maker) -> None:
    specs = chain(tiny, 2, recipe=Recipe(Cfg(3.0), Iid(), Anchor()))
    assert [beginnings(specs), beginnings(specs[1:]), beginnings([])] == [1, 0, 0]
    assert beginnings(chain(tiny, 3, recipe=Recipe(chain=VidRD(2)))) == 3


def test_keys_of_full_clips_are_what_they_were(tiny: Model, chain: Maker) -> None:
    for of in CHAINS.values():
        full = chained(chain, tiny, of)
        assert drafted(drafted(full, 3), None) == full
