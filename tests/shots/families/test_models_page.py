"""What docs/models.md says of the published models is what the families say of their published configs."""

import re
from pathlib import Path

import pytest

from shots.backbones.families import ALL, Family

PAGE = (Path(__file__).parents[3] / "docs/models.md").read_text()

UNET = {"block_out_channels": [320, 640, 1280, 1280], "down_block_types": ["a", "b", "c", "d"], "sample_size": 64}
FLAT = {"block_out_channels": [128, 256, 512, 512]}
LTX = {"spatio_temporal_scaling": [True, True, True, False], "patch_size": 4, "patch_size_t": 1}
# Where a published config says nothing beyond the defaults of its class, neither does this.
PUBLISHED = {
    "animatediff": {"unet": UNET, "vae": FLAT, "motion_adapter": {"motion_max_seq_length": 32}},
    "text_to_video_sd": {"unet": UNET | {"sample_size": 32}, "vae": FLAT},
    "stable_diffusion": {"unet": UNET, "vae": FLAT},
    "ltx": {"vae": LTX, "transformer": {}},
    "ltx2": {"vae": LTX | {"temporal_compression_ratio": 8, "spatial_compression_ratio": 32}, "transformer": {}},
    "wan": {"vae": {}, "transformer": {"patch_size": [1, 2, 2]}},
    "wan_image": {"vae": {}, "transformer": {"patch_size": [1, 2, 2]}},
    "cogvideox": {"vae": FLAT, "transformer": {}},
    "cogvideox_image": {"vae": FLAT, "transformer": {}},
    "mochi": {"vae": {}, "transformer": {}},
    "hunyuan_video": {"vae": {}, "transformer": {}},
    "hunyuan_video_image": {"vae": {}, "transformer": {"image_condition_type": "token_replace"}},
    "hunyuan_video15": {"vae": {}, "transformer": {}},
    "hunyuan_video15_image": {"vae": {}, "transformer": {}},
    "latte": {"vae": FLAT, "transformer": {"patch_size": 2}},
}


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_the_table_of_families_is_true(family: Family) -> None:
    (row,) = re.findall(rf"^\| `{family.name}` \| `{family.pipeline}` \| (.*) \|$", PAGE, re.MULTILINE)
    _, frames, native, multiple, size, per_latent, image = (cell.strip() for cell in row.split("|"))
    configs = PUBLISHED[family.name]
    limits, traits = family.limits(configs), family.traits(configs)
    assert (int(native), int(multiple), int(per_latent)) == (
        limits.frames_native,
        limits.size_multiple,
        traits.frames_per_latent,
    )
    assert size == "x".join(map(str, limits.size_native))
    assert image == traits.start_image or (image, traits.start_image) == ("5B: may", "no")
    if limits.frames_step > 1:
        assert frames == f"{limits.frames_step}k + 1"
    else:
        assert frames.startswith("any" if limits.frames_max > limits.frames_min else str(limits.frames_min))
