"""Layers of networks by name, from configs alone: what exists, what was published, what is refused."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import diffusers as d
import pytest

from shots.backbones.blocks import TRANSFORMERS, UNETS, Anatomy, Skip, anatomy_of, chosen, share
from shots.backbones.skip import list_layers
from shots.errors import ModelRefuses
from tests.shots.small_networks import NETWORKS, network_of

ROOT = Path(__file__).parent.parent.parent
LTX = "LTXVideoTransformer3DModel"


def known(network: str, **config: Any) -> Anatomy:
    return anatomy_of({"transformer": {"_class_name": network} | config}, "transformer")


def paths(anatomy: Anatomy, *layers: str, part: Any = "all") -> list[str]:
    return [anatomy.blocks[i].path for i in chosen(anatomy, Skip(layers, part=part))]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_saved_config_says_all_that_the_network_says(name: str, tmp_path: Path) -> None:
    network, _ = network_of(name)
    network.save_config(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    anatomy = anatomy_of({"unet": saved}, "unet")
    assert anatomy.listed == list_layers(network)
    for block in anatomy.blocks:
        network.get_submodule(block.path)
    assert set(anatomy.default) <= set(anatomy.listed) <= set(anatomy.names)


def test_every_kind_of_network_is_tried() -> None:
    tried = {type(network_of(name)[0]).__name__ for name in NETWORKS}
    assert tried == TRANSFORMERS.keys() | UNETS.keys()


@pytest.mark.parametrize(
    ("network", "config", "path"),
    [
        (LTX, {}, "transformer_blocks.19"),
        (LTX, {"num_layers": 6}, "transformer_blocks.4"),
        ("LTX2VideoTransformer3DModel", {}, "transformer_blocks.29"),
        ("WanTransformer3DModel", {"num_layers": 30}, "blocks.8"),
        ("CogVideoXTransformer3DModel", {"num_layers": 42}, "transformer_blocks.11"),
        ("CogVideoXTransformer3DModel", {"num_layers": 30}, "transformer_blocks.11"),
        ("MochiTransformer3DModel", {}, "transformer_blocks.34"),
        ("HunyuanVideoTransformer3DModel", {}, "transformer_blocks.2"),
    ],
)
def test_the_default_is_the_published_layer(network: str, config: dict[str, Any], path: str) -> None:
    assert paths(known(network, **config)) == [path]


@pytest.mark.parametrize("network", TRANSFORMERS)
@pytest.mark.parametrize("depth", [1, 2, 3, 200])
def test_the_default_exists_at_any_depth(network: str, depth: int) -> None:
    assert paths(known(network, num_layers=depth))


def test_a_perturbed_pass_of_the_published_models_costs_a_third() -> None:
    assert share(known(LTX), Skip()) == Fraction(8, 28)
    assert share(known(LTX), Skip(), reuse=False) == Fraction(27, 28)
    assert share(known(LTX), Skip(mode="attention")) == Fraction(9, 28)
    assert share(known("MochiTransformer3DModel"), Skip()) == Fraction(13, 48)
    assert share(known(LTX), Skip(("3", "19"))) == Fraction(23, 28)
    assert share(known(LTX, num_layers=2), Skip(("0", "1"))) == 0


def test_layers_are_named_by_number_or_by_path() -> None:
    assert paths(known(LTX), "7", "transformer_blocks.3", "3") == ["transformer_blocks.3", "transformer_blocks.7"]
    hunyuan = known("HunyuanVideoTransformer3DModel")
    assert paths(hunyuan, "single.5", "5") == ["transformer_blocks.5", "single_transformer_blocks.5"]
    assert hunyuan.shown == "0 to 19, single.0 to single.39"
    latte = known("LatteTransformer3DModel", num_layers=2)
    assert paths(latte, "1") == ["transformer_blocks.1", "temporal_transformer_blocks.1"]
    assert paths(latte, "1", part="temporal") == paths(latte, "temporal.1") == ["temporal_transformer_blocks.1"]


def test_unets_have_groups_and_modules() -> None:
    """Stable Diffusion 1.5 with a motion adapter, as AnimateDiff's folders have it."""
    unet = {
        "_class_name": "UNet2DConditionModel",
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "layers_per_block": 2,
    }
    anatomy = anatomy_of({"unet": unet, "motion_adapter": {"use_motion_mid_block": False}}, "unet")
    assert anatomy.default == ("up.1",)
    assert paths(anatomy, "mid_block") == paths(anatomy, "mid") == ["mid_block.attentions.0"]
    assert paths(anatomy, "down.3") == [f"down_blocks.3.motion_modules.{j}" for j in range(2)]
    assert paths(anatomy, "up.1", part="spatial") == [f"up_blocks.1.attentions.{j}" for j in range(3)]
    assert paths(anatomy, "up.1.motion_modules.2") == ["up_blocks.1.motion_modules.2"]
    assert len(paths(anatomy, "up.1")) == 6


def test_an_image_unet_and_a_motion_adapter_are_the_unet_that_is_made_of_them() -> None:
    blocks = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
    unet = d.UNet2DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=blocks[0],
        up_block_types=blocks[1],
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    motion = d.MotionAdapter(
        block_out_channels=(8, 8), motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4
    )
    configs = {
        "unet": {**unet.config, "_class_name": "UNet2DConditionModel"},
        "motion_adapter": {**motion.config},
    }
    assert anatomy_of(configs, "unet").listed == list_layers(d.UNetMotionModel.from_unet2d(unet, motion))


@pytest.mark.parametrize(
    ("network", "skip", "message"),
    [
        (LTX, Skip(("28",)), "LTXVideoTransformer3DModel has no layer '28'; it has 0 to 27"),
        (LTX, Skip(("blocks.3",)), "no layer 'blocks.3'"),
        (LTX, Skip(("-1",)), "no layer '-1'"),
        (LTX, Skip(part="spatial"), "spans space and time at once; use part: all"),
        ("LatteTransformer3DModel", Skip(("spatial.3",), part="temporal"), "'spatial.3' .* has no temporal attention"),
    ],
)
def test_what_a_network_does_not_have_is_refused(network: str, skip: Skip, message: str) -> None:
    with pytest.raises(ModelRefuses, match=message):
        chosen(known(network), skip)
    with pytest.raises(ModelRefuses, match=message):
        share(known(network), skip)


def test_a_network_of_another_kind_is_refused() -> None:
    with pytest.raises(ModelRefuses, match="does not know the blocks of UNet2DConditionModel; it knows those of Alle"):
        known("UNet2DConditionModel")


def test_names_are_checked_without_torch() -> None:
    code = (
        "import sys\nfrom shots.backbones.blocks import Skip, anatomy_of, chosen, share\n"
        f"anatomy = anatomy_of({{'t': {{'_class_name': '{LTX}'}}}}, 't')\n"
        "assert chosen(anatomy, Skip()) == (19,) and share(anatomy, Skip()) < 1\n"
        "assert not {'torch', 'diffusers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
