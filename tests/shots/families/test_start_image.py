"""Clips that begin with a given picture: what the image pipelines make, ours makes too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from shots.backbones.capture import Backbone
from shots.backbones.families import FAMILIES
from shots.denoiser import Prediction, reading_of
from shots.errors import ModelRefuses
from shots.levels import prediction_of
from shots.model_files import configs_of, parts_of, read_json
from shots.rng import clip_noise
from tests.shots.families import test_parity as parity

Load = Callable[[str], Backbone]

PROMPT, NEGATIVE, STEPS, SCALE = "a red boat", "fog", 4, 3.0
CASES: dict[str, tuple[int, int, int]] = {
    "ltx": (32, 64, 9),
    "ltx2": (64, 32, 9),
    "wan22_5b": (32, 48, 9),
    "wan_image": (32, 48, 9),
    "wan22_image": (48, 32, 5),
    "cogvideox_image": (32, 48, 9),
    "cogvideox15_image": (48, 32, 9),
    "hunyuan_video_image": (48, 32, 9),
    "hunyuan_video15_image": (32, 48, 9),
}
DISTILLED = ("hunyuan_video_image",)
SISTERS = {
    "ltx": "LTXImageToVideoPipeline",
    "ltx2": "LTX2ImageToVideoPipeline",
    "wan22_5b": "WanImageToVideoPipeline",
}


def picture(seed: int = 0, width: int = 40, height: int = 56) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def capture(backbone: Backbone, name: str, image: np.ndarray | None, prompt: str = PROMPT) -> Any:
    return backbone.capture(prompt, *CASES[name], STEPS, image=image, scale=SCALE if name in DISTILLED else None)


def ours(backbone: Backbone, name: str, image: np.ndarray, noise: torch.Tensor) -> torch.Tensor:
    cond, uncond = (capture(backbone, name, image, prompt) for prompt in (PROMPT, NEGATIVE))
    scale = 1.0 if name in DISTILLED else SCALE
    scheduler = backbone.pipe.scheduler
    reading = reading_of(prediction_of(scheduler.config, type(scheduler).__name__), cond.levels)
    x = backbone.begun(noise[None], [cond])
    for here, there in zip(cond.levels, cond.levels[1:], strict=False):
        c, u = (reading(backbone.evaluate(x, here, [call]), x, here) for call in (cond, uncond))
        x0, eps = Prediction(*(a + scale * (b - a) for a, b in zip(u, c, strict=True)))
        x = there.alpha * x0 + there.sigma * eps
    return x[0]


def stock(backbone: Backbone, name: str, image: np.ndarray, noise: torch.Tensor, output: str) -> Any:
    """The image pipeline itself, from the same noise and the same draw of the picture's latents."""
    pipe: Any = backbone.pipe
    width, height, frames = CASES[name]
    told: dict[str, Any] = {"width": width, "height": height}
    told |= parity.told(backbone, {"frames": frames}, 1.0 if name in DISTILLED else SCALE)
    if not name.startswith("ltx"):
        told["latents"] = backbone.family.pack(backbone.pipe, noise[None])
    if name in SISTERS:
        settings = {"expand_timesteps": True} if name == "wan22_5b" else {}
        pipe = getattr(diffusers, SISTERS[name])(**pipe.components, **settings)
        pipe.set_progress_bar_config(disable=True)
    words: dict[str, Any] = {"prompt": PROMPT, "negative_prompt": NEGATIVE}
    if name.startswith("wan"):
        words = embedded(pipe)
    if name == "hunyuan_video15_image":
        # The pipeline takes its size from the picture.
        del told["width"], told["height"]
        pipe.video_processor.calculate_default_height_width = lambda *_, **__: (height, width)
    try:
        with parity.isolated(pipe):
            made = pipe(
                image=Image.fromarray(image),
                **words,
                num_inference_steps=STEPS,
                generator=torch.Generator().manual_seed(0),
                output_type=output,
                **told,
            ).frames
    finally:
        pipe.video_processor.__dict__.pop("calculate_default_height_width", None)
    return made if output == "np" else parity.final_latents(backbone, made, noise)


def embedded(pipe: Any) -> dict[str, Any]:
    """Wan's image pipeline cleans prompts with a library that may not be here; the other pipeline does without it."""
    names = ("tokenizer", "text_encoder", "vae", "scheduler", "transformer")
    plain = diffusers.WanPipeline(**{name: pipe.components[name] for name in names})
    prompt, negative = plain.encode_prompt(PROMPT, NEGATIVE, max_sequence_length=512)
    return {"prompt_embeds": prompt, "negative_prompt_embeds": negative}


def noise_for(backbone: Backbone, name: str) -> torch.Tensor:
    shape = capture(backbone, name, picture()).shape
    if name.startswith("ltx"):
        # Given latents, these pipelines look at no picture; so the noise is what they draw themselves, the first of
        # them after the picture's latents.
        generator = torch.Generator().manual_seed(0)
        if name == "ltx":
            torch.randn(1, shape[0], 1, *shape[2:], generator=generator)
        return torch.randn(1, *shape, generator=generator)[0]
    return clip_noise(4, "start image", 0, shape)


@pytest.mark.parametrize("name", CASES)
def test_latents_are_the_stock_image_pipeline_s(name: str, load_tiny: Load) -> None:
    backbone, image = load_tiny(name), picture()
    noise = noise_for(backbone, name)
    found, expected = ours(backbone, name, image, noise), stock(backbone, name, image, noise, "latent")
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    other = ours(backbone, name, picture(1), noise)
    assert not torch.allclose(found, other, atol=1e-3)


@pytest.mark.parametrize("name", ["ltx", "ltx2", "wan22_5b", "cogvideox15_image", "hunyuan_video_image"])
def test_frames_are_the_stock_image_pipeline_s(name: str, load_tiny: Load) -> None:
    backbone, image = load_tiny(name), picture()
    noise = noise_for(backbone, name)
    found = backbone.decode(ours(backbone, name, image, noise))
    assert abs(found.astype(float) - 255 * stock(backbone, name, image, noise, "np")[0]).max() < 0.5 + 2e-2


@pytest.mark.parametrize("name", ["ltx", "ltx2", "wan22_5b", "hunyuan_video_image"])
def test_a_given_frame_is_what_it_was_and_the_noise_in_its_place_does_not_matter(name: str, load_tiny: Load) -> None:
    backbone, image = load_tiny(name), picture()
    noise = noise_for(backbone, name)
    held = capture(backbone, name, image).held
    found = ours(backbone, name, image, noise)
    torch.testing.assert_close(found[None, :, :1], held, rtol=1e-5, atol=1e-5)
    noise[:, :1] = 7.0
    torch.testing.assert_close(ours(backbone, name, image, noise)[:, 1:], found[:, 1:], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["ltx", "ltx2", "wan22_5b"])
def test_without_a_picture_the_same_model_makes_a_clip_from_words_alone(name: str, load_tiny: Load) -> None:
    backbone = load_tiny(name)
    assert capture(backbone, name, None).held is None
    assert capture(backbone, name, picture()).held is not None
    assert capture(backbone, name, picture()) is capture(backbone, name, picture())
    assert capture(backbone, name, picture()) is not capture(backbone, name, picture(1))


@pytest.mark.parametrize("name", ["wan_image", "cogvideox_image", "hunyuan_video_image", "hunyuan_video15_image"])
def test_a_model_that_must_begin_with_a_picture_says_so(name: str, load_tiny: Load) -> None:
    with pytest.raises(ModelRefuses, match="ImageToVideoPipeline needs a picture to begin with"):
        capture(load_tiny(name), name, None)


def test_wan_from_words_alone_refuses_a_picture(load_tiny: Load) -> None:
    with pytest.raises(ModelRefuses, match="WanPipeline takes no start image"):
        load_tiny("wan").capture(PROMPT, 32, 48, 9, STEPS, image=picture())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ltx", "may"),
        ("ltx2", "may"),
        ("wan", "no"),
        ("wan22_5b", "may"),
        ("wan_image", "must"),
        ("hunyuan_video", "no"),
        ("hunyuan_video_image", "must"),
        ("mochi", "no"),
    ],
)
def test_configs_say_whether_a_clip_can_begin_with_a_picture(
    name: str, expected: str, tiny_models: Callable[[str], Path]
) -> None:
    folder = tiny_models(name)
    index = read_json(folder / "model_index.json")
    family = FAMILIES[index["_class_name"]]
    assert family.traits(configs_of(folder, parts_of(folder, index, family))).start_image == expected


def test_the_hunyuan_video_that_shows_fewer_pictures_than_it_makes_is_refused_by_name(
    tiny_models: Callable[[str], Path],
) -> None:
    folder = tiny_models("hunyuan_video_image")
    index = read_json(folder / "model_index.json")
    family = FAMILIES[index["_class_name"]]
    parts = configs_of(folder, parts_of(folder, index, family))
    older = parts | {"transformer": parts["transformer"] | {"image_condition_type": "latent_concat"}}
    with pytest.raises(ModelRefuses, match="image_condition_type is 'latent_concat'"):
        family.limits(older)
