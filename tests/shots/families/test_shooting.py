"""Every family, from its folder to frames, as a camera makes them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shots.backbones.capture import Backbone
from shots.models import describe
from shots.priors import draw
from shots.shoot import load, shoot
from shots.spec import Cfg, ClipSpec, Iid, NoChain, Recipe, Sampler
from tests.shots.families import test_parity as parity
from tests.shots.families import tiny

NAMES = ["text_to_video_sd", "ltx", "ltx2", "wan22", "wan_unipc", "cogvideox15", "mochi", "hunyuan_video15", "latte"]
SCALE, STEPS = parity.SCALE, parity.STEPS


@pytest.mark.parametrize("name", [*NAMES, "hunyuan_video"])
def test_a_clip_of_every_family(
    name: str, tiny_models: Callable[[str], Path], load_tiny: Callable[[str], Backbone]
) -> None:
    case = parity.CASES["wan" if name == "wan_unipc" else name]
    card = describe(str(tiny_models(name)))
    model = load(card, device="cpu", threads=1)
    tiny.lighten(model.pipe)
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
