"""The published models of each family, as far as their configs decide what they can make. No torch here.

Nothing is rendered from these: a model that lies here says everything by its own files. They say what a family is good
for before one is here (`longtake models`). Where a published config says nothing beyond the defaults of its class,
neither does this.
"""

from __future__ import annotations

from typing import Any

from .family import Configs

_FLAT = {"block_out_channels": [128, 256, 512, 512]}


def _unet(kind: str, dimensions: int, side: int) -> dict[str, Any]:
    """The UNet of Stable Diffusion, or of ModelScope."""
    down, up = f"DownBlock{dimensions}D", f"UpBlock{dimensions}D"
    return {
        "_class_name": kind,
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": [f"CrossAttn{down}"] * 3 + [down],
        "up_block_types": [up] + [f"CrossAttn{up}"] * 3,
        "sample_size": side,
    }


_SD = _unet("UNet2DConditionModel", 2, 64)
_LTX = {"spatio_temporal_scaling": [True, True, True, False], "patch_size": 4, "patch_size_t": 1}
_LTX2 = {"temporal_compression_ratio": 8, "spatial_compression_ratio": 32}
_WAN = {"_class_name": "WanTransformer3DModel", "num_layers": 30, "patch_size": [1, 2, 2]}
_COG = {"_class_name": "CogVideoXTransformer3DModel"}
_HUNYUAN = {"_class_name": "HunyuanVideoTransformer3DModel"}
_HUNYUAN15 = {"_class_name": "HunyuanVideo15Transformer3DModel"}

PUBLISHED: dict[str, Configs] = {
    "animatediff": {
        "unet": _SD,
        "vae": _FLAT,
        "motion_adapter": {"motion_max_seq_length": 32, "use_motion_mid_block": False},
    },
    "text_to_video_sd": {"unet": _unet("UNet3DConditionModel", 3, 32), "vae": _FLAT},
    "stable_diffusion": {"unet": _SD, "vae": _FLAT},
    "ltx": {"vae": _LTX, "transformer": {"_class_name": "LTXVideoTransformer3DModel"}},
    "ltx2": {"vae": _LTX | _LTX2, "transformer": {"_class_name": "LTX2VideoTransformer3DModel"}},
    "wan": {"vae": {}, "transformer": _WAN},
    "wan_image": {"vae": {}, "transformer": _WAN | {"num_layers": 40}},
    "cogvideox": {"vae": _FLAT, "transformer": _COG},
    "cogvideox_image": {"vae": _FLAT, "transformer": _COG | {"num_layers": 42}},
    "mochi": {"vae": {}, "transformer": {"_class_name": "MochiTransformer3DModel"}},
    "hunyuan_video": {"vae": {}, "transformer": _HUNYUAN},
    "hunyuan_video_image": {"vae": {}, "transformer": _HUNYUAN | {"image_condition_type": "token_replace"}},
    "hunyuan_video15": {"vae": {}, "transformer": _HUNYUAN15},
    "hunyuan_video15_image": {"vae": {}, "transformer": _HUNYUAN15},
    "latte": {"vae": _FLAT, "transformer": {"_class_name": "LatteTransformer3DModel", "patch_size": 2}},
}
"""Family -> part -> config: of the smallest model that its makers published."""
