"""One small network of every kind that STG knows, with made-up weights, and the arguments of a call."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import diffusers as d
import torch

Call = Callable[..., dict[str, Any]]
Made = tuple[torch.nn.Module, Call]
WORDS = 5


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(network: Any) -> Any:
    """Every weight matters: those that a real network starts at zero, too."""
    for seed, parameter in enumerate(network.parameters()):
        if parameter.dim() > 1:
            parameter.data = noise(seed, *parameter.shape) / math.sqrt(math.prod(parameter.shape[1:]))
        else:
            parameter.data = parameter.data + 0.1 * noise(seed, *parameter.shape)
    return network.eval()


def words(batch: int, width: int, seed: int) -> torch.Tensor:
    return noise(seed + 1, batch, WORDS, width)


def heard(batch: int) -> torch.Tensor:
    """A mask of the text: the last words of every second prompt are padding."""
    mask = torch.ones(batch, WORDS)
    mask[::2, 3:] = 0
    return mask


def masked(dtype: torch.dtype = torch.float32) -> Call:
    return lambda batch, _: heard(batch).to(dtype)


def whole(batch: int, _: int) -> torch.Tensor:
    """A time in whole training steps."""
    return torch.full((batch,), 500)


def asked(*shape: int, **others: Any) -> Call:
    """The arguments of a transformer: samples of this shape, times, words, and others, as they are or of
    (batch, seed)."""

    def call(batch: int = 1, seed: int = 0) -> dict[str, Any]:
        usual = {
            "hidden_states": noise(seed, batch, *shape),
            "timestep": torch.full((batch,), 500.0),
            "encoder_hidden_states": words(batch, 8, seed),
        }
        return usual | {name: made(batch, seed) if callable(made) else made for name, made in others.items()}

    return call


def unet_motion() -> Made:
    network = d.UNetMotionModel(
        sample_size=8,
        down_block_types=("CrossAttnDownBlockMotion", "CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion", "CrossAttnUpBlockMotion"),
        block_out_channels=(8, 8, 16),
        layers_per_block=(2, 1, 1),
        norm_num_groups=4,
        cross_attention_dim=8,
        num_attention_heads=2,
        motion_num_attention_heads=2,
        motion_max_seq_length=8,
    )

    def call(batch: int = 1, seed: int = 0) -> dict[str, Any]:
        text = words(batch, 8, seed).repeat_interleave(3, dim=0)
        return {"sample": noise(seed, batch, 4, 3, 8, 8), "timestep": torch.tensor(500), "encoder_hidden_states": text}

    return network, call


def unet_3d() -> Made:
    network = d.UNet3DConditionModel(
        sample_size=8,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
    )

    def call(batch: int = 1, seed: int = 0) -> dict[str, Any]:
        sample = noise(seed, batch, 4, 3, 8, 8)
        return {"sample": sample, "timestep": torch.tensor(500), "encoder_hidden_states": words(batch, 8, seed)}

    return network, call


def ltx() -> Made:
    network = d.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=4,
        caption_channels=8,
    )
    return network, asked(12, 8, encoder_attention_mask=masked(), num_frames=3, height=2, width=2)


def ltx2() -> Made:
    network = d.LTX2VideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        audio_in_channels=4,
        audio_out_channels=4,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=8,
        num_layers=4,
        caption_channels=8,
        gated_attn=True,
        audio_gated_attn=True,
        perturbed_attn=True,
    )
    return network, asked(
        12,
        4,
        timestep=lambda batch, _: torch.full((batch, 12), 500.0),
        encoder_attention_mask=masked(),
        num_frames=3,
        height=2,
        width=2,
        audio_hidden_states=lambda batch, seed: noise(seed + 2, batch, 3, 4),
        audio_encoder_hidden_states=lambda batch, seed: words(batch, 8, seed + 1),
        audio_encoder_attention_mask=masked(),
        audio_timestep=lambda batch, _: torch.full((batch, 3), 500.0),
        audio_num_frames=3,
    )


def wan() -> Made:
    network = d.WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=8,
        freq_dim=16,
        ffn_dim=16,
        num_layers=4,
    )
    return network, asked(4, 3, 4, 4)


def cogvideox() -> Made:
    network = d.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=8,
        num_layers=4,
        sample_width=4,
        sample_height=4,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=WORDS,
    )
    return network, asked(3, 4, 4, 4, timestep=whole)


def mochi() -> Made:
    network = d.MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=4,
        pooled_projection_dim=16,
        in_channels=4,
        text_embed_dim=8,
        time_embed_dim=4,
    )
    return network, asked(4, 3, 4, 4, encoder_attention_mask=masked(torch.bool))


def hunyuan_video() -> Made:
    network = d.HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=3,
        num_single_layers=3,
        num_refiner_layers=1,
        text_embed_dim=8,
        pooled_projection_dim=8,
        rope_axes_dim=(2, 4, 4),
    )
    return network, asked(
        4,
        3,
        4,
        4,
        timestep=whole,
        encoder_attention_mask=masked(torch.bool),
        pooled_projections=lambda batch, seed: noise(seed + 3, batch, 8),
        guidance=lambda batch, _: torch.full((batch,), 6000.0),
    )


def hunyuan_video15() -> Made:
    network = d.HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=4,
        num_refiner_layers=1,
        text_embed_dim=8,
        text_embed_2_dim=8,
        image_embed_dim=8,
        rope_axes_dim=(2, 4, 4),
    )
    return network, asked(
        9,
        3,
        2,
        2,
        encoder_attention_mask=masked(torch.long),
        encoder_hidden_states_2=lambda batch, seed: words(batch, 8, seed + 1),
        encoder_attention_mask_2=masked(),
        image_embeds=lambda batch, _: torch.zeros(batch, 2, 8),
    )


def latte() -> Made:
    network = d.LatteTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        cross_attention_dim=16,
        attention_bias=True,
        sample_size=4,
        patch_size=2,
        activation_fn="gelu-approximate",
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        caption_channels=8,
        video_length=3,
    )
    return network, asked(4, 3, 4, 4, timestep=whole)


def allegro() -> Made:
    network = d.AllegroTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        cross_attention_dim=24,
        sample_height=2,
        sample_width=2,
        sample_frames=3,
        patch_size=2,
        caption_channels=8,
    )
    return network, asked(
        4,
        3,
        4,
        4,
        timestep=whole,
        encoder_hidden_states=lambda batch, seed: words(batch, 8, seed).unsqueeze(1),
        encoder_attention_mask=masked(),
    )


NETWORKS = {
    made.__name__: made
    for made in (
        unet_motion,
        unet_3d,
        ltx,
        ltx2,
        wan,
        cogvideox,
        mochi,
        hunyuan_video,
        hunyuan_video15,
        latte,
        allegro,
    )
}


@cache
def network_of(name: str) -> Made:
    """(network, its arguments for so many samples from a seed); made once."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, call = NETWORKS[name]()
    return filled(network), call
