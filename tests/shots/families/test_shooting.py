"""Every family, from its folder to frames, as a camera makes them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from shots import made_up
from shots.backbones.capture import Backbone
from shots.models import describe
from shots.price import bill
from shots.priors import draw
from shots.shoot import load, shoot
from shots.spec import Cfg, ClipSpec, Iid, ImageRef, NoChain, Recipe, Sampler, VideoGuide
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
