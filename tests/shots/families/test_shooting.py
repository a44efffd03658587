"""Every family, from its folder to frames, as a camera makes them."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from shots import made_up
from shots.backbones.capture import Backbone
from shots.models import describe
from shots.price import bill
from shots.priors import draw
from shots.shoot import Checkpoint, Footage, Model, Tail, load, shoot
from shots.spec import (
    Cfg,
    CfgPlusPlus,
    ClipSpec,
    Iid,
    ImageRef,
    ModelRef,
    NoChain,
    Pyoco,
    Recipe,
    Sampler,
    Stg,
    VideoGuide,
    VidRD,
)
from tests.shots.families import test_parity as parity
from tests.shots.families import test_start_image as start_image

NAMES = ["text_to_video_sd", "ltx", "ltx2", "wan22", "wan_unipc", "cogvideox15", "mochi", "hunyuan_video15", "latte"]
SCALE, STEPS = parity.SCALE, parity.STEPS


@pytest.mark.parametrize("name", [*NAMES, "hunyuan_video"])
def test_a_clip_of_every_family(
    name: str, tiny_models: Callable[[str], Path], load_tiny: Callable[[str], Backbone]
) -> None:
    case = parity.CASES["wan" if name == "wan_unipc" else name]
    card = describe(str(tiny_models(name)))
    model = load(card, device="cpu", threads=1)
    made_up.lighten(model.pipe)
    spec = ClipSpec(
        model=card.ref(),
        width=case["width"],
        height=case["height"],
        frames=case["frames"],
        prompt=parity.PROMPT,
        negative_prompt=parity.NEGATIVE,
        seed=3,
        index=0,
        sampler=Sampler("ddim", STEPS),
        recipe=Recipe(Cfg(SCALE), Iid(), NoChain()),
    )
    try:
        (footage,) = shoot([spec], model)
    finally:
        model.close()
    assert footage.frames.shape == (case["frames"], case["height"], case["width"], 3)
    # A distilled model has one branch: the scale is one of its inputs.
    distilled = name == "hunyuan_video"
    assert footage.nfe == (STEPS if distilled else 2 * STEPS)
    noise = draw(spec, tuple(footage.latents.shape))
    expected = parity.ours(load_tiny(name), case, noise, 1.0 if distilled else SCALE)
    torch.testing.assert_close(footage.latents, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["ltx", "mochi", "wan_unipc", "cogvideox15", "hunyuan_video"])
def test_steps_that_are_counted_by_their_noise_cost_what_was_predicted(
    name: str, tiny_models: Callable[[str], Path]
) -> None:
    case = parity.CASES["wan" if name == "wan_unipc" else name]
    card = describe(str(tiny_models(name)))
    model = load(card, device="cpu", threads=1)
    made_up.lighten(model.pipe)
    size = (case["width"], case["height"], case["frames"])
    recipe = Recipe(Cfg(SCALE), Iid(), NoChain(), videoguide=VideoGuide(until=0.7, tau=2, low_pass=False))
    spec = ClipSpec(card.ref(), *size, parity.PROMPT, parity.NEGATIVE, 3, 0, Sampler("ddim", 5), recipe)
    levels = card.grid(spec)
    price = bill(spec, card.traits.distilled, levels)
    guided = price["videoguide"] // (2 if card.traits.distilled else 4)
    assert 0 < guided < 5
    try:
        (footage,) = shoot([spec], model)
        own = model.backbone.capture(parity.PROMPT, *size, 5).levels
    finally:
        model.close()
    assert footage.nfe == sum(price.values())
    assert levels == own


@pytest.mark.parametrize("name", ["ltx2", "hunyuan_video_image"])
def test_a_clip_that_begins_with_a_picture(
    name: str, tiny_models: Callable[[str], Path], load_tiny: Callable[[str], Backbone], tmp_path: Path
) -> None:
    image = start_image.picture()
    file = tmp_path / "first.png"
    Image.fromarray(image).save(file)
    ref = ImageRef(str(file), "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest())
    card = describe(str(tiny_models(name)))
    model = load(card, device="cpu", threads=1)
    size = start_image.CASES[name]
    words = (start_image.PROMPT, start_image.NEGATIVE)
    recipe = Recipe(Cfg(start_image.SCALE), Iid(), NoChain())
    spec = ClipSpec(card.ref(), *size, *words, 3, 0, Sampler("ddim", start_image.STEPS), recipe, image=ref)
    try:
        (footage,) = shoot([spec], model)
    finally:
        model.close()
    expected = start_image.ours(load_tiny(name), name, image, draw(spec, tuple(footage.latents.shape)))
    torch.testing.assert_close(footage.latents, expected, rtol=1e-4, atol=1e-4)


@contextmanager
def opened(folder: Path) -> Iterator[Model]:
    model = load(describe(str(folder)), device="cpu", threads=1)
    made_up.lighten(model.pipe)
    try:
        yield model
    finally:
        model.close()


def chained(model: Model, size: tuple[int, int, int], recipe: Recipe, steps: int) -> list[ClipSpec]:
    words = (parity.PROMPT, parity.NEGATIVE)
    first = ClipSpec(model.card.ref(), *size, *words, 3, 0, Sampler("ddim", steps), recipe)
    return [first, replace(first, index=1, previous=first.key)]


@contextmanager
def counted(*models: Model) -> Iterator[list[int]]:
    """How often networks really run: on a CPU, with one sample each time."""
    calls: list[int] = []
    networks = [network for model in models for network in model.backbone.networks.values()]
    handles = [network.register_forward_hook(lambda *_: calls.append(1)) for network in networks]
    yield calls
    for handle in handles:
        handle.remove()


def one_after_another(specs: list[ClipSpec], model: Model, others: dict[ModelRef, Model]) -> list[Footage]:
    tail: Tail | None = None
    found: list[Footage] = []
    for spec in specs:
        (footage,) = shoot([spec], model, tail, others=others)
        found.append(footage)
        assert isinstance(footage.tail, Tail)
        tail = footage.tail
    return found


@pytest.mark.parametrize("name", [*NAMES, "hunyuan_video"])
def test_all_methods_that_a_family_takes_together(name: str, tiny_models: Callable[[str], Path]) -> None:
    """In lockstep and one after another the same bits, and each network runs as often as the bill says."""
    case = parity.CASES["wan" if name == "wan_unipc" else name]
    distilled = name == "hunyuan_video"
    guidance = Cfg(SCALE) if distilled else CfgPlusPlus(0.6)
    stg = Stg(scale=0.7, mode="attention", rescale=0.5, stop=0.5)
    guide = VideoGuide(steps=1, tau=2, centred=True)
    recipe = Recipe(guidance, Pyoco("mixed", 0.5), VidRD(1, beta=0.5), stg, guide)
    with opened(tiny_models(name)) as model:
        specs = chained(model, (case["width"], case["height"], case["frames"]), recipe, 2)
        price = bill(specs[0], model.card.traits.distilled)
        passes = 1 if distilled else 2
        assert price == {"guidance": 2 * passes, "stg": 1, "videoguide": 2 * passes}
        with counted(model) as calls:
            together = list(shoot(specs, model))
        assert [footage.nfe for footage in together] == [sum(price.values())] * 2
        assert len(calls) == 2 * sum(price.values())
        for one, other in zip(together, one_after_another(specs, model, {}), strict=True):
            assert torch.equal(one.latents, other.latents)
        assert not torch.equal(together[0].latents, together[1].latents)
        batched = Model(model.card, model.backbone, torch.device("cpu"), None)  # driven as on an accelerator
        for one, other in zip(together, shoot(specs, batched), strict=True):
            torch.testing.assert_close(one.latents, other.latents, rtol=2e-3, atol=2e-3)
            assert one.nfe == other.nfe


@pytest.mark.parametrize(("name", "teacher"), [("text_to_video_sd", "ltx"), ("ltx", "wan")])
def test_a_teacher_with_another_vae_guides_through_pictures(
    name: str, teacher: str, tiny_models: Callable[[str], Path]
) -> None:
    recipe = Recipe(Cfg(SCALE), Iid(), VidRD(1), videoguide=VideoGuide(steps=1, tau=2))
    with opened(tiny_models(name)) as model, opened(tiny_models(teacher)) as other:
        assert model.card.latent_space != other.card.latent_space
        others, guide = {other.card.ref(): other}, replace(recipe.videoguide, teacher=other.card.ref())
        specs = chained(model, (32, 32, 9), replace(recipe, videoguide=guide), 2)
        kept: list[Checkpoint] = []
        with counted(other) as calls:
            taught = list(shoot(specs, model, others=others, on_state=lambda _, make: kept.append(make())))
        assert bill(specs[0]) == {"guidance": 4, "videoguide": 4}
        assert [footage.nfe for footage in taught] == [8, 8]
        assert len(calls) == 2 * 4
        again = one_after_another(specs, model, others)
        resumed = list(shoot(specs, model, others=others, start=kept[0]))
        for one, alone, later in zip(taught, again, resumed, strict=True):
            assert torch.equal(one.latents, alone.latents)
            assert torch.equal(one.latents, later.latents)
        by_itself = next(iter(shoot(chained(model, (32, 32, 9), recipe, 2)[:1], model)))
        assert not torch.allclose(by_itself.latents, taught[0].latents, atol=1e-3)
