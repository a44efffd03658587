"""All methods in one recipe, around real (tiny) networks: the bill is exact, groups and checkpoints change no bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from shots.checkpoint import Checkpoint
from shots.errors import Interrupted, SpecError
from shots.made_up.flat import flat_unet
from shots.made_up.sizes import TINY, fill
from shots.memory import ONE_BY_ONE
from shots.models import describe
from shots.price import bill, predicted_nfe
from shots.shoot import Footage, Model, Tail, load, shoot
from shots.spec import (
    Cfg,
    CfgPlusPlus,
    ClipSpec,
    FreeNoise,
    IvMixed,
    ModelRef,
    NoChain,
    Pyoco,
    Recipe,
    Sampler,
    Stg,
    VideoGuide,
    VidRD,
    Windows,
    digest,
    hashed_fields,
)

Chain = Callable[..., list[ClipSpec]]


@pytest.fixture(scope="module")
def image(tiny: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The image model inside the tiny video model: the same VAE and text encoder, the UNet without motion modules."""
    folder = tmp_path_factory.mktemp("models") / "tiny-image"
    pipe, unet = tiny.pipe, flat_unet(TINY)
    fill(unet, 0)
    parts = {"vae": pipe.vae, "text_encoder": pipe.text_encoder, "tokenizer": pipe.tokenizer}
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    StableDiffusionPipeline(
        **parts,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return load(describe(str(folder)), device="cpu", threads=2)


@pytest.fixture(scope="module")
def others(tiny: Model, tiny_epsilon: Model, image: Model) -> dict[ModelRef, Model]:
    return {model.card.ref(): model for model in (tiny, tiny_epsilon, image)}


def everything(image: Model, teacher: Model | None) -> Recipe:
    return Recipe(
        Cfg(3.0, rescale=0.5),
        Pyoco("progressive", 0.5),
        VidRD(4, 1.0, 0.5, "staged", "forward"),
        Stg(scale=0.7, rescale=0.7, start=0.25),
        VideoGuide(teacher.card.ref() if teacher else None, steps=1, tau=2),
        IvMixed(image.card.ref(), start=0.25, stop=0.75),
    )


def recipes(image: Model, teacher: Model) -> dict[str, Recipe]:
    full = everything(image, teacher)
    return {
        "everything": full,
        "guided by itself": replace(everything(image, None), guidance=CfgPlusPlus(0.6)),
        "stg without cfg": Recipe(Cfg(1.0), chain=VidRD(5, 2.0, 1.0), stg=Stg(mode="attention", layers=("mid",))),
        "cfg in a window": Recipe(Cfg(4.0, start=0.25, stop=0.75), chain=NoChain(), stg=Stg(stop=0.5)),
        "mixed, ad": Recipe(iv_mixed=IvMixed(image.card.ref(), "ad", (2.0, 6.0), (0.0, 1.0)), chain=VidRD(2)),
        "until": Recipe(videoguide=VideoGuide(until=0.6, tau=2, low_pass=False), chain=VidRD(2, order="reverse")),
    }


NAMES = ["everything", "guided by itself", "stg without cfg", "cfg in a window", "mixed, ad", "until"]


def same(one: Footage, other: Footage) -> bool:
    return torch.equal(one.latents, other.latents) and np.array_equal(one.frames, other.frames)


@pytest.mark.parametrize(("name", "solver"), [*((name, "ddim") for name in NAMES), ("everything", "dpmpp_2m")])
def test_the_bill_is_exact_and_neither_groups_nor_checkpoints_change_a_bit(
    name: str, solver: str, tiny: Model, tiny_epsilon: Model, image: Model, others: dict[ModelRef, Model], chain: Chain
) -> None:
    recipe = recipes(image, tiny_epsilon)[name]
    specs = chained(chain(tiny, 3, recipe=recipe, prompts=("a red boat", "a blue star")), solver)
    kept: list[bytes] = []
    whole = list(shoot(specs, tiny, None, None, others, on_state=lambda i, make: kept.append(make().to_bytes("me"))))
    levels = tiny.card.grid(specs[0])
    assert [f.nfe for f in whole] == [predicted_nfe(spec, levels=levels) for spec in specs]
    tail: Tail | None = None
    for spec, expected in zip(specs, whole, strict=True):
        (alone,) = shoot([spec], tiny, tail, None, others)
        assert same(alone, expected), f"clip {spec.index} alone is another one"
        tail = alone.tail
    for data in (kept[1], kept[3]):
        resumed = list(shoot(specs, tiny, None, None, others, Checkpoint.from_bytes(data)))
        assert all(map(same, resumed, whole))
        assert [f.nfe for f in resumed] == [f.nfe for f in whole]


def chained(specs: list[ClipSpec], solver: str) -> list[ClipSpec]:
    made: list[ClipSpec] = []
    for spec in specs:
        previous = made[-1].key if made and spec.previous else None
        made.append(replace(spec, sampler=Sampler(solver, spec.sampler.steps), previous=previous))
    return made


def test_every_combination_costs_what_was_predicted(
    tiny: Model, tiny_epsilon: Model, image: Model, others: dict[ModelRef, Model], chain: Chain
) -> None:
    """Networks are counted where they run, not where the bill is written: each call is one sample on a CPU."""
    calls: list[int] = []
    networks = [network for model in others.values() for network in model.backbone.networks.values()]
    handles = [network.register_forward_hook(lambda *_: calls.append(1)) for network in networks]
    combinations = itertools.product(
        (Cfg(3.0), Cfg(1.0), CfgPlusPlus(0.6, stop=0.5)),
        (None, Stg(start=0.5)),
        (None, VideoGuide(steps=1, tau=2), VideoGuide(tiny_epsilon.card.ref(), until=0.9, tau=1, low_pass=False)),
        (None, IvMixed(image.card.ref(), gamma_image=(0.0, 1.0), stop=0.5)),
    )
    chains = itertools.cycle((NoChain(), VidRD(2), Pyoco(alpha=1.0)))
    for guidance, stg, guide, mixed in combinations:
        other = next(chains)
        prior, link = (other, NoChain()) if isinstance(other, Pyoco) else (Recipe().prior, other)
        recipe = Recipe(guidance, prior, link, stg, guide, mixed)
        (spec,) = chain(tiny, recipe=recipe, frames=2, steps=2)
        (footage,) = shoot([spec], tiny, None, None, others)
        predicted = predicted_nfe(spec, levels=tiny.card.grid(spec))
        assert (footage.nfe, len(calls)) == (predicted, predicted), recipe
        calls.clear()
    for handle in handles:
        handle.remove()


def test_the_bill_says_what_costs_what(tiny: Model, tiny_epsilon: Model, image: Model, chain: Chain) -> None:
    (spec,) = chain(tiny, recipe=everything(image, tiny_epsilon))
    assert bill(spec) == {"guidance": 8, "stg": 3, "videoguide": 4, "iv_mixed": 16}


def test_a_clip_goes_on_from_the_checkpoint_of_a_group_it_was_part_of(
    tiny: Model, image: Model, others: dict[ModelRef, Model], chain: Chain
) -> None:
    specs = chain(tiny, 3, recipe=everything(image, None))
    kept: dict[int, Checkpoint] = {}
    whole = list(shoot(specs, tiny, None, None, others, on_state=lambda i, make: kept.update({i: make()})))
    part = kept[4].part((specs[1].key, specs[2].key))
    assert part is not None
    rest = list(shoot(specs[1:], tiny, whole[0].tail, None, others, part))
    assert all(map(same, rest, whole[1:]))
    assert kept[4].part((specs[2].key, specs[1].key)) is None
    assert kept[4].part(("another",)) is None


def test_a_checkpoint_of_other_clips_is_refused(tiny: Model, chain: Chain) -> None:
    kept: list[Checkpoint] = []

    def stop(done: int, steps: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        list(shoot(chain(tiny), tiny, on_step=stop, on_state=lambda i, make: kept.append(make())))
    with pytest.raises(SpecError, match="begin anew"):
        list(shoot(chain(tiny, seed=8), tiny, start=kept[0]))


@pytest.mark.parametrize("cut", [0, 7, 100, -3])
def test_a_torn_checkpoint_is_told_from_a_whole_one(cut: int, tiny: Model, chain: Chain) -> None:
    kept: list[bytes] = []
    list(shoot(chain(tiny), tiny, on_state=lambda i, make: kept.append(make().to_bytes("me"))))
    with pytest.raises(SpecError):
        Checkpoint.from_bytes(kept[0][:cut])


NEUTRAL = [
    Recipe(chain=NoChain(), stg=Stg(scale=0.0)),
    Recipe(chain=NoChain(), stg=Stg(start=0.5, stop=0.5)),
    Recipe(chain=NoChain(), videoguide=VideoGuide(steps=0)),
    Recipe(chain=NoChain(), videoguide=VideoGuide(beta=1.0, low_pass=False)),
    Recipe(prior=Pyoco("mixed", 0.0), chain=NoChain()),
    Recipe(chain=VidRD(0, 0.0, 0.0)),
]


@pytest.mark.parametrize("recipe", NEUTRAL)
def test_neutral_settings_are_the_identity_and_cost_nothing(recipe: Recipe, tiny: Model, chain: Chain) -> None:
    (plain,) = shoot(chain(tiny, recipe=Recipe(chain=NoChain())), tiny)
    (neutral,) = shoot(chain(tiny, recipe=recipe), tiny)
    assert same(plain, neutral)
    assert plain.nfe == neutral.nfe


def test_an_empty_window_of_iv_mixed_is_neutral(
    tiny: Model, image: Model, others: dict[ModelRef, Model], chain: Chain
) -> None:
    recipe = Recipe(chain=NoChain(), iv_mixed=IvMixed(image.card.ref(), start=1.0))
    (plain,) = shoot(chain(tiny, recipe=Recipe(chain=NoChain())), tiny)
    (neutral,) = shoot(chain(tiny, recipe=recipe), tiny, None, None, others)
    assert same(plain, neutral)
    assert plain.nfe == neutral.nfe


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
def test_windows_agree_where_they_overlap_and_resume(solver: str, tiny: Model, chain: Chain) -> None:
    recipe = Recipe(prior=FreeNoise(), chain=Windows(2), stg=Stg(scale=0.5))
    alone = [replace(s, previous=None, sampler=Sampler(solver, 4)) for s in chain(tiny, 3, recipe=recipe)]
    together = digest("Windows", 1, [hashed_fields(spec) for spec in alone])
    specs = [replace(spec, together=together) for spec in alone]
    kept: list[Checkpoint] = []
    made = list(shoot(specs, tiny, on_state=lambda i, make: kept.append(make())))
    for before, after in itertools.pairwise(made):
        assert torch.equal(before.latents[:, -2:], after.latents[:, :2])
        assert not torch.equal(before.latents, after.latents)
    assert all(map(same, shoot(specs, tiny, start=kept[1]), made))


def test_a_model_that_the_recipe_names_must_be_there(tiny: Model, tiny_epsilon: Model, chain: Chain) -> None:
    recipe = Recipe(chain=NoChain(), videoguide=VideoGuide(tiny_epsilon.card.ref()))
    with pytest.raises(SpecError, match=r"needs the models .*tiny-epsilon"):
        shoot(chain(tiny, recipe=recipe), tiny)


def test_networks_are_what_they_were_after_skipping(tiny: Model, chain: Chain) -> None:
    def stop(done: int, steps: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        list(shoot(chain(tiny, recipe=Recipe(stg=Stg(), chain=NoChain())), tiny, on_step=stop))
    assert not [name for name, module in tiny.backbone.network.named_modules() if "forward" in module.__dict__]


def test_the_batched_path_is_the_same_up_to_rounding(
    tiny: Model, image: Model, others: dict[ModelRef, Model], chain: Chain, tmp_path: Path
) -> None:
    """How an accelerator is driven, all methods on."""
    specs = chain(tiny, 2, recipe=everything(image, None))
    batched = Model(tiny.card, tiny.backbone, torch.device("cpu"), None)
    pictures = Model(image.card, image.backbone, torch.device("cpu"), None)
    accelerated = list(shoot(specs, batched, None, None, {image.card.ref(): pictures}))
    for model in (batched, pictures):
        model.settle(ONE_BY_ONE)
    split = list(shoot(specs, batched, None, None, {image.card.ref(): pictures}))
    for model in (batched, pictures):
        model.settle(0)
    for one, two, other in zip(accelerated, split, shoot(specs, tiny, None, None, others), strict=True):
        torch.testing.assert_close(one.latents, other.latents, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(two.latents, other.latents, rtol=2e-3, atol=2e-3)
        assert one.nfe == two.nfe == other.nfe
