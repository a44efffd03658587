"""The parts of pocket-dit, a small flow-matching video transformer of the LTX architecture, and its export.

Every part is a stock diffusers or transformers class, so `LTXPipeline.from_pretrained` loads the folder as it is
(HaCohen et al., "LTX-Video: Realtime Video Latent Diffusion", 2024). The autoencoder is causal in time: latent 0 holds
frame 0 alone and latent k holds frames 4k-3 .. 4k, so the first latents of a clip never change when more frames follow.

The text encoder is never trained: each concept of the vocabulary has one row of a random orthogonal matrix, which all
its words share. Its one T5 block is silent, so a word's vector depends on nothing but the word. That matters here: the
pipeline pads prompts to 128 tokens and lets T5 attend to the padding.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from .looks import SIZE
from .networks import WEIGHTS as POCKET
from .vocabulary import CONCEPTS

WEIGHTS = POCKET.with_name("pocket-dit")
"""Where the exported model lives: a folder for `LTXPipeline.from_pretrained`."""

LATENT_CHANNELS = 32
SPATIAL_RATIO = 8
TEMPORAL_RATIO = 4
CLIP_FRAMES = 9
"""Frames of a clip, 4 k + 1; they are `LATENT_FRAMES` latent frames of `LATENT_SIZE` x `LATENT_SIZE` cells."""
LATENT_FRAMES = (CLIP_FRAMES - 1) // TEMPORAL_RATIO + 1
LATENT_SIZE = SIZE // SPATIAL_RATIO
FRAME_RATE = 25
"""The pipeline's default; the rotary positions of latent frames are seconds, so training and sampling must agree."""
ROPE_SCALE = (TEMPORAL_RATIO / FRAME_RATE, SPATIAL_RATIO, SPATIAL_RATIO)
SHIFT = 4.0
"""Of the noise levels, in training and in sampling: sigma = s u / (1 + (s - 1) u), u uniform (Esser et al. 2024)."""
TEXT_DIM = 64

_PAD, _EOS, _UNKNOWN = "<pad>", "</s>", "<unk>"


def make_vae() -> AutoencoderKLLTXVideo:
    """The causal video autoencoder: [B, 3, 4k+1, 64, 64] <-> [B, 32, k+1, 8, 8], about 1.3 million weights.

    The encoder sees no later frame; the decoder sees both sides, as in the published model. Each of the two
    downsampling blocks halves time, height and width together, after a 2x2 space-to-depth of the pixels.
    """
    return AutoencoderKLLTXVideo(
        latent_channels=LATENT_CHANNELS,
        patch_size=2,
        block_out_channels=(16, 32, 64),
        down_block_types=("LTXVideo095DownBlock3D",) * 2,
        downsample_type=("spatiotemporal",) * 2,
        spatio_temporal_scaling=(True, True),
        layers_per_block=(1, 1, 1),
        decoder_block_out_channels=(32, 64),
        decoder_layers_per_block=(1, 1, 1),
        decoder_spatio_temporal_scaling=(True, True),
        decoder_inject_noise=(False,) * 3,
        upsample_residual=(True, True),
        upsample_factor=(2, 2),
    )


def make_transformer() -> LTXVideoTransformer3DModel:
    """The velocity model on packed latents, about 2.7 million weights: 6 blocks, 5 heads of 32 channels."""
    return LTXVideoTransformer3DModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=5,
        attention_head_dim=32,
        cross_attention_dim=160,
        num_layers=6,
        caption_channels=TEXT_DIM,
    )


def make_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Straight-line flow with a fixed shift; the pipeline's length-dependent `mu` is ignored."""
    return FlowMatchEulerDiscreteScheduler(shift=SHIFT, use_dynamic_shifting=False)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, lower case, punctuation dropped as in `vocabulary.split_words`; a stranger is one `<unk>`."""
    words = sorted({word for group in CONCEPTS.values() for word in group})
    pieces = {piece: index for index, piece in enumerate([_PAD, _EOS, _UNKNOWN, *words])}
    backend = Tokenizer(models.WordLevel(pieces, unk_token=_UNKNOWN))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\p{L}+|\p{Nd}+"), behavior="removed", invert=True)
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {_EOS}", pair=f"$A {_EOS} $B {_EOS}", special_tokens=[(_EOS, pieces[_EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=_EOS, pad_token=_PAD, unk_token=_UNKNOWN, model_max_length=128
    )


@torch.no_grad()
def make_text_encoder(tokenizer: PreTrainedTokenizerFast, seed: int = 7) -> T5EncoderModel:
    """The frozen text encoder: one orthogonal vector a concept, shared by its words; everything unknown is a filler."""
    vocabulary = tokenizer.get_vocab()
    config = T5Config(
        vocab_size=len(vocabulary),
        d_model=TEXT_DIM,
        d_kv=4,
        d_ff=4,
        num_layers=1,
        num_heads=1,
        dropout_rate=0.0,
        pad_token_id=vocabulary[_PAD],
        eos_token_id=vocabulary[_EOS],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = T5EncoderModel(config)
        fillers, end, pad, *rows = torch.linalg.qr(torch.randn(TEXT_DIM, TEXT_DIM))[0] * TEXT_DIM**0.5
    for name, weight in encoder.named_parameters():
        if name.endswith((".o.weight", ".wo.weight")):
            weight.zero_()
    table = encoder.get_input_embeddings().weight
    table.copy_(fillers.expand_as(table))
    table[vocabulary[_EOS]], table[vocabulary[_PAD]] = end, pad
    for row, (concept, words) in zip(rows, CONCEPTS.items(), strict=False):
        for word in words if concept else ():
            table[vocabulary[word]] = row
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def encode_text(
    prompts: list[str], tokenizer: PreTrainedTokenizerFast, encoder: T5EncoderModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Text states [B, T, 64] and their mask [B, T] with T the longest prompt; more padding changes nothing."""
    tokens = tokenizer(prompts, padding="longest", return_tensors="pt")
    return encoder(tokens.input_ids)[0], tokens.attention_mask


def pack(latents: torch.Tensor) -> torch.Tensor:
    """[B, C, F, h, w] -> [B, F h w, C], the transformer's token order."""
    return latents.flatten(2).transpose(1, 2)


def normalise(vae: AutoencoderKLLTXVideo, latents: torch.Tensor) -> torch.Tensor:
    """The VAE's latents [B, C, F, h, w] with zero mean and unit deviation a channel, the transformer's scale."""
    mean, std = (buffer.view(1, -1, 1, 1, 1) for buffer in (vae.latents_mean, vae.latents_std))
    return (latents - mean) / std


def velocity(
    transformer: LTXVideoTransformer3DModel,
    tokens: torch.Tensor,
    sigma: torch.Tensor,
    text: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """The model's noise - x0 at noise levels sigma, [B] or one a token [B, T]; tokens as from `pack`."""
    states, mask = text
    return transformer(
        hidden_states=tokens,
        encoder_hidden_states=states,
        timestep=sigma * 1000,
        encoder_attention_mask=mask,
        num_frames=tokens.shape[1] // LATENT_SIZE**2,
        height=LATENT_SIZE,
        width=LATENT_SIZE,
        rope_interpolation_scale=ROPE_SCALE,
        return_dict=False,
    )[0]


def export(folder: Path, vae: AutoencoderKLLTXVideo, transformer: LTXVideoTransformer3DModel) -> dict[str, int]:
    """Write the model as fp16 for `LTXPipeline.from_pretrained(folder)`; returns bytes a part. The parts become fp16.

    Everything is written beside the folder first and then renamed. The old card and evaluation go with the old weights.
    """
    tokenizer = make_tokenizer()
    pipe = LTXPipeline(
        scheduler=make_scheduler(),
        vae=vae,
        text_encoder=make_text_encoder(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
    )
    partial, old = (folder.with_name(f"{folder.name}.{end}") for end in ("partial", "old"))
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(partial, safe_serialization=True)
    told = {"frames_native": CLIP_FRAMES, "size_native": [SIZE, SIZE]}
    (partial / "longtake.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    (partial / "vocabulary.json").write_text(json.dumps(CONCEPTS, indent=1) + "\n", encoding="utf-8")
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return {path.parent.name: path.stat().st_size for path in folder.glob("*/*.safetensors")}
