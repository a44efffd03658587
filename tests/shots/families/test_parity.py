"""With all methods off, our loop around the network makes what the stock pipeline makes, for every family."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from shots.backbones.capture import Backbone
from shots.backbones.family import whitened
from shots.denoiser import Prediction, reading_of
from shots.levels import prediction_of
from shots.rng import clip_noise

Load = Callable[[str], Backbone]

# Of one length: Latte's pipeline cuts the negative prompt where the prompt ends.
PROMPT, NEGATIVE = "a red boat", "thick fog!"
CASES: dict[str, dict[str, Any]] = {
    # Width, height and frames differ where they can, so that no axis can stand for another.
    "animatediff": {"width": 16, "height": 32, "frames": 6},
    "text_to_video_sd": {"width": 32, "height": 16, "frames": 5},
    "ltx": {"width": 32, "height": 64, "frames": 9},
    "ltx_timed": {"width": 64, "height": 32, "frames": 5},
    "ltx2": {"width": 32, "height": 64, "frames": 9},
    "wan": {"width": 32, "height": 48, "frames": 9},
    "wan22": {"width": 48, "height": 32, "frames": 5},
    "wan22_5b": {"width": 32, "height": 48, "frames": 9},
    "cogvideox": {"width": 32, "height": 48, "frames": 9},
    "cogvideox15": {"width": 48, "height": 32, "frames": 9},
    "mochi": {"width": 32, "height": 48, "frames": 13},
    "hunyuan_video": {"width": 32, "height": 48, "frames": 9},
    "hunyuan_video15": {"width": 32, "height": 48, "frames": 9},
    "latte": {"width": 16, "height": 32, "frames": 4},
}
STEPS, SCALE = 4, 3.0


def ours(backbone: Backbone, case: dict[str, Any], noise: torch.Tensor, scale: float) -> torch.Tensor:
    """Captured calls, one step after another: `x' = alpha' x0 + sigma' eps`."""
    embedded = SCALE if backbone.family.name == "hunyuan_video" else None
    cond, uncond = (
        backbone.capture(prompt, case["width"], case["height"], case["frames"], STEPS, scale=embedded)
        for prompt in (PROMPT, NEGATIVE)
    )
    scheduler = backbone.pipe.scheduler
    reading = reading_of(prediction_of(scheduler.config, type(scheduler).__name__), cond.levels)
    assert cond.shape == noise.shape
    x = noise[None]
    for here, there in zip(cond.levels, cond.levels[1:], strict=False):
        with torch.inference_mode():
            c = reading(backbone.evaluate(x, here, [cond]), x, here)
            if scale != 1.0:
                u = reading(backbone.evaluate(x, here, [uncond]), x, here)
                c = Prediction(*(a + scale * (b - a) for a, b in zip(u, c, strict=True)))
        x = there.alpha * c.x0 + there.sigma * c.eps
    return x[0]


def stock(backbone: Backbone, case: dict[str, Any], noise: torch.Tensor, scale: float, output: str) -> Any:
    """The pipeline's own loop, from the same noise."""
    pipe = backbone.pipe
    with isolated(pipe):
        made = pipe(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            width=case["width"],
            height=case["height"],
            num_inference_steps=STEPS,
            latents=backbone.family.pack(pipe, noise[None]),
            output_type=output,
            **told(backbone, case, scale),
        )
    return made.frames


def told(backbone: Backbone, case: dict[str, Any], scale: float) -> dict[str, Any]:
    """How a pipeline is told its guidance and its frames."""
    if backbone.family.name.startswith("hunyuan_video15"):
        backbone.pipe.guider = diffusers.ClassifierFreeGuidance(guidance_scale=scale)
        return {"num_frames": case["frames"]}
    if backbone.family.name in ("hunyuan_video", "hunyuan_video_image"):
        return {"guidance_scale": SCALE, "true_cfg_scale": scale, "num_frames": case["frames"]}
    if backbone.family.name == "ltx2":
        others = {"stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0}
        others |= {f"audio_{name}": value for name, value in others.items()}
        return others | {"guidance_scale": scale, "audio_guidance_scale": scale, "num_frames": case["frames"]}
    if backbone.family.name == "latte":
        return {"guidance_scale": scale, "video_length": case["frames"]}
    return {"guidance_scale": scale, "num_frames": case["frames"]}


@contextmanager
def isolated(pipe: Any) -> Iterator[None]:
    """LTX-2's picture without its sound, which the pipeline itself offers only for one of its guidance's passes."""
    if not type(pipe).__name__.startswith("LTX2"):
        yield
        return
    forward = pipe.transformer.forward
    pipe.transformer.forward = lambda **kwargs: forward(**kwargs | {"isolate_modalities": True})
    try:
        yield
    finally:
        del pipe.transformer.forward


def final_latents(backbone: Backbone, made: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What the pipeline calls latents, as ours. LTX-2 gives them as its VAE takes them."""
    if backbone.family.name == "ltx2":
        vae = backbone.pipe.vae
        return whitened(made, vae.latents_mean, vae.latents_std)[0]
    return backbone.family.unpack(backbone.pipe, made, noise.shape[1:])[0]


def noise_for(backbone: Backbone, case: dict[str, Any]) -> torch.Tensor:
    call = backbone.capture(PROMPT, case["width"], case["height"], case["frames"], STEPS)
    return clip_noise(3, "parity", 0, call.shape)


def relative(found: Any, expected: Any) -> float:
    return float(abs(found - expected).max() / abs(expected).max())


@pytest.mark.parametrize("scale", [1.0, SCALE])
@pytest.mark.parametrize("name", CASES)
def test_latents_are_the_stock_pipeline_s(name: str, scale: float, load_tiny: Load) -> None:
    backbone, case = load_tiny(name), CASES[name]
    noise = noise_for(backbone, case)
    found = ours(backbone, case, noise, scale)
    expected = final_latents(backbone, stock(backbone, case, noise, scale, "latent"), noise)
    assert relative(found, expected) < 1e-5
    assert not torch.allclose(expected, noise, rtol=0.1)


@pytest.mark.parametrize("name", CASES)
def test_frames_are_the_stock_pipeline_s(name: str, load_tiny: Load) -> None:
    backbone, case = load_tiny(name), CASES[name]
    noise = noise_for(backbone, case)
    with torch.inference_mode():
        found = backbone.decode(ours(backbone, case, noise, 1.0))
    pictures = stock(backbone, case, noise, 1.0, "np")[0]
    assert found.shape == (case["frames"], case["height"], case["width"], 3) == pictures.shape
    # Equal up to the rounding of values that lie between two.
    assert abs(found.astype(float) - 255 * pictures).max() < 0.5 + 1e-2
    assert len(np.unique(found)) > 20
