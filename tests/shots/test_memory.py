"""The memory ladder: a run that meets `torch.OutOfMemoryError` goes on further down, with the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from shots import made_up
from shots.backbones.capture import Backbone
from shots.errors import NotEnoughMemory
from shots.loading import Loading
from shots.memory import LAYERS, ONE_BY_ONE, RESTING, RUNGS, WORKING
from shots.model import Model
from shots.models import describe
from shots.price import predicted_nfe
from shots.shoot import Footage, load, shoot
from shots.spec import Cfg, ClipSpec, Iid, NoChain, Recipe, Sampler, Stg, VideoGuide, VidRD
from tests.shots.families import test_parity as parity

Chain = Callable[..., list[ClipSpec]]
HELD = Recipe(Cfg(3.0), Iid(), VidRD(overlap=2, beta=0.5), stg=Stg(), videoguide=VideoGuide(steps=1, tau=1))
STEPS = 3


@pytest.fixture
def fresh(tiny_folder: Path) -> Iterator[Model]:
    """A model of our own: the last rung is not left again."""
    model = load(describe(str(tiny_folder)), device="cpu", threads=1)
    yield model
    model.close()


@contextmanager
def short(module: torch.nn.Module, lacks: Callable[[int], bool]) -> Iterator[list[int]]:
    """Within: the module's calls run out of memory where `lacks(batch)` says so; the list holds their batches."""
    met: list[int] = []

    def before(_: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> None:
        batch = len(args[0] if args else kwargs["sample"])
        if lacks(batch):
            met.append(batch)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    handle = module.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield met
    finally:
        handle.remove()


def times(*calls: int) -> Callable[[int], bool]:
    """Runs short at these calls, counted from 0."""
    count = iter(range(10**9))
    return lambda _: next(count) in calls


def same(one: list[Footage], other: list[Footage]) -> bool:
    return all(
        torch.equal(a.latents, b.latents)
        and np.array_equal(a.frames, b.frames)
        and a.nfe == b.nfe
        and (a.tail is None or a.tail.to_bytes() == b.tail.to_bytes())  # type: ignore[union-attr]
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("calls", [(0,), (9, 18, 27, 36)])
def test_a_run_goes_on_from_the_step_where_memory_ended(
    calls: tuple[int, ...], tiny: Model, fresh: Model, chain: Chain
) -> None:
    specs = chain(tiny, 2, recipe=HELD, steps=STEPS)
    undisturbed, steps = list(shoot(specs, tiny)), []
    with short(fresh.backbone.network, times(*calls)) as met:
        found = list(shoot(specs, fresh, on_step=lambda done, of: steps.append(done)))
    assert len(met) == len(calls)
    assert fresh.rung == fresh.fallen == len(calls)
    assert steps == [1, 2, 3]  # none is made twice but the one that failed
    assert same(found, undisturbed)
    assert found[0].nfe == predicted_nfe(specs[0])


def test_decoding_goes_down_as_well(tiny: Model, fresh: Model, chain: Chain) -> None:
    specs = chain(tiny, 2, recipe=HELD, steps=STEPS)
    with short(fresh.pipe.vae.decoder, times(1, 2, 3)):
        found = list(shoot(specs, fresh))
    assert fresh.rung == WORKING
    assert same(found, list(shoot(specs, tiny)))


def test_one_by_one_is_enough_where_only_the_batch_was_too_large(fresh: Model, chain: Chain) -> None:
    model = Model(fresh.card, fresh.backbone, fresh.device, None)  # driven as on an accelerator
    specs = chain(model, 3, recipe=HELD, steps=STEPS)
    with short(model.backbone.network, lambda batch: batch > 1):
        found = list(shoot(specs, model))
    assert model.rung == ONE_BY_ONE
    again = list(shoot(specs, model))
    assert same(found, again)


def test_when_nothing_helps_the_last_rung_says_what_would(fresh: Model, chain: Chain) -> None:
    with short(fresh.backbone.network, lambda _: True) as met, pytest.raises(NotEnoughMemory) as caught:
        list(shoot(chain(fresh, 1, steps=STEPS), fresh))
    assert len(met) == len(RUNGS)
    for word in ("20.00 GiB", "layer by layer", "clip_frames", "tiling", "larger device"):
        assert word in str(caught.value)


def test_a_warm_model_climbs_up_again_for_smaller_clips(fresh: Model) -> None:
    for rung in (WORKING, 0, RESTING, ONE_BY_ONE):
        fresh.settle(rung)
        assert fresh.rung == fresh.fallen == rung
    fresh.settle(LAYERS)
    fresh.settle(0)
    assert fresh.rung == LAYERS


def moves(model: Model) -> dict[str, list[str]]:
    """Part -> where it is sent from now on: `here` or `away`; on a CPU both are the same place."""
    placement = model.backbone.placement
    found: dict[str, list[str]] = {}
    placement.device = torch.device("cpu", 0)
    for name, part in placement.parts.items():
        found[name] = []

        def to(place: object, part: torch.nn.Module = part, told: list[str] = found[name]) -> torch.nn.Module:
            told.append("away" if place == "cpu" else "here")
            return type(part).to(part, "cpu")

        part.to = to  # type: ignore[method-assign]
    return found


def test_each_part_is_there_while_it_works(fresh: Model, chain: Chain) -> None:
    told = moves(fresh)
    fresh.settle(RESTING)
    list(shoot(chain(fresh, 1, steps=2), fresh))
    assert told["text_encoder"] == ["away", "here", "away"]  # both prompts are read at once
    assert "away" not in told["unet"] + told["vae"]
    for part in told.values():
        part.clear()
    fresh.settle(WORKING)
    list(shoot(chain(fresh, 1, steps=2, prompts=("another",)), fresh))
    assert told["text_encoder"][-2:] == ["here", "away"]
    assert told["unet"].count("here") == 1  # for all steps together
    assert told["unet"][-1] == "away"
    assert told["vae"][-1] == "here"


FAMILIES = ("animatediff", "ltx", "wan22")


@pytest.mark.parametrize("name", FAMILIES)
def test_offloading_changes_no_bit_of_any_method(name: str, tmp_path: Path) -> None:
    """Hooks in every layer, under STG's own; capture around them. What moves between devices only a GPU can show."""
    made_up.save(name, tmp_path / name)
    case, found = parity.CASES[name], {}
    for offload in ("none", "model", "group", "sequential"):
        card = describe(str(tmp_path / name), loading=Loading(offload=offload))  # type: ignore[arg-type]
        model = load(card, device="cpu", threads=1)
        made_up.lighten(model.pipe)
        spec = ClipSpec(
            card.ref(),
            case["width"],
            case["height"],
            case["frames"],
            parity.PROMPT,
            parity.NEGATIVE,
            seed=3,
            index=0,
            sampler=Sampler("ddim", 2),
            recipe=Recipe(Cfg(3.0), Iid(), NoChain(), stg=Stg()),
        )
        (footage,) = shoot([spec], model)
        found[offload] = spec.key, footage.latents, footage.frames
        assert model.fallen == 0
        model.close()
    key, latents, frames = found["none"]
    for offload, (other_key, other, pictures) in found.items():
        assert other_key == key, offload
        assert torch.equal(other, latents), offload
        assert np.array_equal(pictures, frames), offload


def test_slicing_decides_no_pixels_and_tiling_does(tiny_folder: Path, tiny: Model, chain: Chain) -> None:
    plain, made = chain(tiny, 1)[0], {}
    for loading in (Loading(slicing=True), Loading(tiling=True)):
        model = load(describe(str(tiny_folder), loading=loading), device="cpu", threads=1)
        # Slices have other last bits, which is nothing on an accelerator; on a CPU they save nothing.
        assert (model.pipe.vae.use_slicing, model.pipe.vae.use_tiling) == (False, loading.tiling)
        made[loading.tiling] = chain(model, 1)[0]
        (footage,) = shoot([made[loading.tiling]], model)
        assert footage.frames.shape == (6, 32, 16, 3)
        model.close()
    assert made[False].key == plain.key
    assert made[True].key != plain.key


def test_a_prompt_is_read_once_for_every_size_and_length(fresh: Model) -> None:
    """What a text encoder said is kept, within a bound, for as long as the model is warm."""
    backbone, read = fresh.backbone, []
    handle = fresh.pipe.text_encoder.register_forward_pre_hook(lambda *_: read.append(1))
    try:
        for size in (16, 32):
            for frames in (4, 6):
                fresh.map(backbone.capture, ["a red boat"], [size], [16], [frames], [4])
        assert len(read) == 1
        backbone.prompts.most = 2
        for prompt in ("b", "c", "d"):
            fresh.map(backbone.capture, [prompt], [16], [16], [4], [4])
        assert (len(read), len(backbone.prompts)) == (4, 2)
    finally:
        handle.remove()


def test_remembered_embeddings_are_those_of_a_new_reading(fresh: Model, tiny: Model) -> None:
    def embedding(backbone: Backbone, frames: int) -> torch.Tensor:
        text: torch.Tensor = backbone.capture("a red boat", 16, 16, frames, 4).kwargs["encoder_hidden_states"]
        return text

    fresh.map(embedding, [fresh.backbone], [4])
    (kept,), (new,) = (model.map(embedding, [model.backbone], [5]) for model in (fresh, tiny))
    assert torch.equal(kept, new)
