"""HunyuanVideo 1.5 (arXiv 2511.18870): two branches again; beside the latents, a place for an image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .family import ROOMY, Ask, Configs, Limits, Traits
from .hunyuan_video import HunyuanVideo

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class HunyuanVideo15(HunyuanVideo):
    """The pipeline guides by a component of its own, which is switched off while a call is captured."""

    def limits(self, configs: Configs) -> Limits:
        """Sizes that VAE and patches can divide."""
        vae, transformer = configs["vae"], configs["transformer"]
        ratio, space = int(vae.get("temporal_compression_ratio", 4)), int(vae.get("spatial_compression_ratio", 16))
        side = int(transformer.get("target_size", 640))
        multiple = space * int(transformer.get("patch_size", 1))
        # The pipeline fits 16:9 into the area of a square of that side.
        native = tuple(round(side * share**0.5 / multiple) * multiple for share in (16 / 9, 9 / 16))
        return Limits(1, 1 + ratio * ROOMY, ratio, 1 + 120 // ratio * ratio, multiple, (native[0], native[1]))

    def traits(self, configs: Configs) -> Traits:
        """Causal; never distilled."""
        ratio = int(configs["vae"].get("temporal_compression_ratio", 4))
        return Traits(frames_per_latent=ratio, start_image=self.start_image)

    def arguments(self, pipe: Any, ask: Ask) -> dict[str, Any]:
        """No guidance among them; with a picture, no size, which the pipeline takes from it."""
        asked = super().arguments(pipe, ask)
        sizes = () if ask.image is None else ("width", "height")
        return {name: value for name, value in asked.items() if "scale" not in name and name not in sizes}

    def guided(self, pipe: Any, scale: float) -> dict[str, Any]:
        """Its guider has the scale, and is not asked for one."""
        pipe.guider.guidance_scale = scale
        return {}

    @contextmanager
    def prepared(self, pipe: Any, ask: Ask) -> Iterator[None]:
        """Within: no guidance, and a picture is cropped to the size asked for, not to the nearest of a list."""
        pipe.guider.disable()
        processor = pipe.video_processor
        processor.calculate_default_height_width = lambda *_, **__: (ask.height, ask.width)
        try:
            yield
        finally:
            del processor.calculate_default_height_width
            pipe.guider.enable()

    def latent_channels(self, pipe: Any, sample: torch.Tensor) -> int:
        """The VAE's; after them, the image's and a mask."""
        return int(pipe.num_channels_latents)


HUNYUAN_VIDEO15 = HunyuanVideo15(
    name="hunyuan_video15",
    pipeline="HunyuanVideo15Pipeline",
    parts=("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae", "guider"),
    weights=("text_encoder", "text_encoder_2", "transformer", "vae"),
    licence="Tencent Hunyuan Community Licence (not for the EU, the UK and South Korea)",
    loras=False,
)

HUNYUAN_VIDEO15_IMAGE = replace(
    HUNYUAN_VIDEO15,
    name="hunyuan_video15_image",
    pipeline="HunyuanVideo15ImageToVideoPipeline",
    parts=(*HUNYUAN_VIDEO15.parts, "image_encoder", "feature_extractor"),
    weights=(*HUNYUAN_VIDEO15.weights, "image_encoder"),
    start_image="must",
)
