"""shoot() around a real (tiny) pipeline: same bits however the clips are grouped and however many threads run."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from shots.errors import BadFootage, Interrupted, ModelRefuses, SpecError
from shots.exposure import latents_bytes
from shots.models import describe
from shots.price import predicted_nfe
from shots.shoot import Footage, Model, Tail, load, shoot
from shots.spec import Cfg, CfgPlusPlus, ClipSpec, Iid, ModelRef, NoChain, Pyoco, Recipe, VidRD

Chain = Callable[..., list[ClipSpec]]


def same(one: Footage, other: Footage) -> bool:
    tails = [f.tail.to_bytes() if f.tail else None for f in (one, other)]
    return (
        torch.equal(one.latents, other.latents)
        and np.array_equal(one.frames, other.frames)
        and tails[0] == tails[1]
        and one.nfe == other.nfe
    )


RECIPES = [
    Recipe(Cfg(3.0), Iid(), VidRD(2, 4.0, 0.5, "staged", "reverse")),
    Recipe(CfgPlusPlus(0.6), Pyoco("progressive", 0.5), VidRD(4, 1.0, 1.0, "constant", "forward")),
    Recipe(Cfg(1.0), Pyoco("mixed", 0.5), NoChain()),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_lockstep_and_one_after_another_give_the_same_footage(recipe: Recipe, tiny: Model, chain: Chain) -> None:
    specs = chain(tiny, 3, recipe=recipe, prompts=("a red boat", "a blue star"))
    together = list(shoot(specs, tiny))
    tail: Tail | None = None
    for spec, expected in zip(specs, together, strict=True):
        (footage,) = shoot([spec], tiny, tail)
        assert same(footage, expected)
        tail = Tail.from_bytes(footage.tail.to_bytes()) if footage.tail else None
    assert len({f.latents.numpy().tobytes() for f in together}) == 3


def test_footage_does_not_depend_on_the_number_of_threads(tiny_folder: Path, tiny: Model, chain: Chain) -> None:
    assert tiny.threads == 2
    specs = chain(tiny, 3, recipe=RECIPES[0])
    together = list(shoot(specs, tiny))
    for threads in (1, 3):
        model = load(describe(str(tiny_folder)), device="cpu", threads=threads)
        assert all(map(same, shoot(specs, model), together))
        model.close()


def test_a_whole_step_as_one_batch_gives_the_same_up_to_rounding(tiny: Model, chain: Chain) -> None:
    """How an accelerator is driven: no pool, all clips and branches at once."""
    batches: list[int] = []
    handle = tiny.backbone.network.register_forward_hook(
        lambda module, args, output: batches.append(len(output.sample))
    )
    specs = chain(tiny, 3, recipe=RECIPES[0], prompts=("a red boat", "a blue star"))
    try:
        batched = list(shoot(specs, Model(tiny.card, tiny.backbone, torch.device("cpu"), None)))
    finally:
        handle.remove()
    assert batches == [6] * 4
    for one, other in zip(batched, shoot(specs, tiny), strict=True):
        torch.testing.assert_close(one.latents, other.latents, rtol=1e-4, atol=1e-4)
        assert one.nfe == other.nfe == 8
        assert np.abs(one.frames.astype(int) - other.frames).max() <= 1


def test_stored_latents_are_the_clip_s_and_equal_bytes_every_time(tiny: Model, chain: Chain) -> None:
    (spec,) = chain(tiny)
    one, other = (next(shoot([spec], tiny)) for _ in range(2))
    stored = latents_bytes(spec, one.latents)
    assert stored == latents_bytes(spec, other.latents)
    assert torch.equal(safetensors.torch.load(stored)["latents"], one.latents)
    assert spec.key.encode() in stored[:400]


def test_threads_have_one_intra_op_thread_and_the_caller_keeps_its_own(tiny_folder: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model = load(describe(str(tiny_folder)), device="cpu", threads=2)
        born_later: list[int] = []
        thread = threading.Thread(target=lambda: born_later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        inside = model.map(lambda _: (torch.get_num_threads(), torch.is_inference_mode_enabled()), range(4))
        assert inside == [(1, True)] * 4
        assert (torch.get_num_threads(), born_later) == (2, [2])
        model.close()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("recipe", RECIPES)
def test_network_evaluations_are_counted_as_predicted(recipe: Recipe, tiny: Model, chain: Chain) -> None:
    calls: list[int] = []
    handle = tiny.backbone.network.register_forward_hook(lambda module, args, output: calls.append(len(output.sample)))
    try:
        specs = chain(tiny, 2, recipe=recipe)
        footage = list(shoot(specs, tiny))
    finally:
        handle.remove()
    assert [f.nfe for f in footage] == [predicted_nfe(spec) for spec in specs]
    assert sum(calls) == sum(f.nfe for f in footage)


def test_what_footage_holds(tiny: Model, chain: Chain) -> None:
    specs = chain(tiny, 2, recipe=RECIPES[0])
    for spec, footage in zip(specs, shoot(specs, tiny), strict=True):
        assert footage.spec is spec
        assert (footage.latents.shape, footage.latents.dtype) == ((4, 6, 16, 8), torch.float32)
        assert (footage.frames.shape, footage.frames.dtype) == ((6, 32, 16, 3), np.uint8)
        assert footage.tail is not None
        assert footage.tail.key == spec.key
        assert (footage.tail.noise.shape, footage.tail.states.shape) == ((4, 6, 16, 8), (2, 4, 2, 16, 8))
        assert 0 < footage.seconds["network"] + footage.seconds["vae"] <= footage.seconds["total"]
        # Not an inference tensor: its owner may change it.
        footage.latents.add_(1)


def test_the_first_clip_of_a_chain_is_the_unchained_clip(tiny: Model, chain: Chain) -> None:
    (chained,) = chain(tiny, recipe=RECIPES[0])
    (alone,) = chain(tiny, recipe=replace(RECIPES[0], chain=NoChain()))
    assert torch.equal(next(shoot([chained], tiny)).latents, next(shoot([alone], tiny)).latents)


def test_golden_latents(tiny: Model, chain: Chain) -> None:
    """A refactoring may not move these; a change that does needs a new version in the spec."""
    *_, last = shoot(chain(tiny, 2, recipe=RECIPES[0]), tiny)
    found = last.latents[:, ::3, 5, 3].flatten()
    torch.testing.assert_close(found, torch.tensor(GOLDEN), rtol=1e-4, atol=1e-4)


GOLDEN = [-0.096103, 0.499192, -1.204832, -0.403536, -2.377057, -1.501906, -0.878636, -1.953341]


def test_steps_are_reported_and_stopping_between_two_leaves_the_model_usable(tiny: Model, chain: Chain) -> None:
    specs = chain(tiny, 2, recipe=RECIPES[0])
    seen: list[tuple[int, int]] = []
    threads = torch.get_num_threads()

    def stop(done: int, steps: int) -> None:
        seen.append((done, steps))
        if done == 2:
            raise Interrupted("asked to stop after step 2")

    with pytest.raises(Interrupted):
        list(shoot(specs, tiny, None, stop))
    assert seen == [(1, 4), (2, 4)]
    assert torch.get_num_threads() == threads
    finished: list[int] = []
    undisturbed = list(shoot(specs, tiny, None, lambda done, steps: finished.append(done)))
    assert finished == [1, 2, 3, 4]
    assert all(map(same, shoot(specs, tiny), undisturbed))


def test_gradients_and_inference_mode_are_the_caller_s_between_clips(tiny: Model, chain: Chain) -> None:
    for _ in shoot(chain(tiny, 3, recipe=RECIPES[0]), tiny):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_returns_no_numbers_is_named_with_clip_and_step(value: float, tiny: Model, chain: Chain) -> None:
    bias = tiny.backbone.network.conv_out.bias
    before = bias.data.clone()
    bias.data.fill_(value)
    try:
        with pytest.raises(BadFootage, match=r"clip 0, step 1 of 4: the network .* not finite numbers"):
            list(shoot(chain(tiny, 2, recipe=RECIPES[0]), tiny))
    finally:
        bias.data.copy_(before)


def test_a_vae_that_returns_no_numbers_is_named_with_the_clip(tiny: Model, chain: Chain) -> None:
    bias = tiny.pipe.vae.decoder.conv_out.bias
    before = bias.data.clone()
    bias.data.fill_(float("nan"))
    try:
        with pytest.raises(BadFootage, match="clip 0, decoding: the VAE returned values that are not numbers"):
            list(shoot(chain(tiny, 1), tiny))
    finally:
        bias.data.copy_(before)


def test_what_the_model_cannot_make_is_refused_before_anything_runs(tiny: Model, chain: Chain) -> None:
    (spec,) = chain(tiny)
    other = ModelRef("other", "sha256:0", "animatediff")
    cases: list[tuple[ClipSpec, type[Exception], str]] = [
        (replace(spec, frames=25), ModelRefuses, "frames of 25|clips of 25 frames"),
        (replace(spec, width=20), ModelRefuses, "20x32"),
        (replace(spec, sampler=replace(spec.sampler, steps=1001)), ModelRefuses, "1001 steps"),
        (replace(spec, sampler=replace(spec.sampler, steps=0)), ModelRefuses, "0 steps"),
        (replace(spec, model=other), SpecError, "is for model sha256:0"),
        (replace(spec, previous="abc", recipe=RECIPES[0]), SpecError, "was given no tail"),
    ]
    for wrong, error, message in cases:
        with pytest.raises(error, match=message):
            shoot([wrong], tiny)


def test_a_tail_of_another_size_is_refused(tiny: Model, chain: Chain) -> None:
    first, second = chain(tiny, 2, recipe=RECIPES[0])
    (footage,) = shoot([first], tiny)
    with pytest.raises(SpecError, match="clips of one chain have one size"):
        list(shoot([replace(second, height=16)], tiny, footage.tail))


def test_a_model_whose_files_are_not_the_planned_ones_is_refused(tiny: Model) -> None:
    ref = tiny.card.ref()
    with pytest.raises(ModelRefuses, match="plan again"):
        load(replace(ref, digest="sha256:0"))
    model = load(ref, device="cpu", threads=1)
    assert model.card == tiny.card
    model.close()
    with pytest.raises(ModelRefuses, match="0 threads"):
        load(ref, device="cpu", threads=0)
