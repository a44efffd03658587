"""The pocket model's parts, built from diffusers and transformers classes only, and the folder they are exported to.

The text encoder is never trained: each concept of the vocabulary has one row of a random orthogonal matrix as its
embedding, so `left` and `right` stay as far apart as two words can be. A jointly trained encoder lost exactly these
words in an earlier study, because single pictures give them no meaning.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .vocabulary import CONCEPTS, MAX_TOKENS

LATENT_CHANNELS = 16
LATENT_SIZE = 8
ALL_WEIGHTS = Path(__file__).parent / "weights"
WEIGHTS = ALL_WEIGHTS / "pocket"
"""Where the exported model lives: a folder for `AnimateDiffPipeline.from_pretrained`."""

_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"


def make_vae() -> AutoencoderKL:
    """The f8 autoencoder with 16 latent channels: 64x64x3 <-> 8x8x16, about one million weights."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=64,
        scaling_factor=1.0,
    )


def make_unet() -> UNet2DConditionModel:
    """The image UNet on 8x8x16 latents, about four million weights."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=4,
        norm_num_groups=16,
    )


TEACHER_DEPTH = 2
"""Transformer blocks in each motion module of the teacher."""


def make_adapter(depth: int = 1) -> MotionAdapter:
    """Motion modules for `make_unet`'s network, `depth` transformer blocks in each."""
    return MotionAdapter(
        block_out_channels=(64, 128),
        motion_layers_per_block=1,
        motion_transformer_layers_per_block=depth,
        motion_transformer_layers_per_mid_block=depth,
        motion_num_attention_heads=4,
        motion_norm_num_groups=16,
        motion_max_seq_length=32,
        use_motion_mid_block=True,
    )


def make_motion_unet(image: UNet2DConditionModel, depth: int = 1) -> UNetMotionModel:
    """The image UNet with motion modules whose outputs are zero: at first it is the image model, frame by frame.

    depth: transformer blocks in each motion module.
    """
    unet = UNetMotionModel.from_unet2d(image, make_adapter(depth))
    for name, weight in unet.named_parameters():
        if "motion_modules" in name and ".proj_out." in name:
            torch.nn.init.zeros_(weight)
    return unet


def read_motion_unet(folder: Path) -> UNetMotionModel:
    """The motion UNet of an exported folder, in fp32: one file, or the image UNet and its motion adapter."""
    if not (folder / "motion_adapter").exists():
        return UNetMotionModel.from_pretrained(folder, subfolder="unet", dtype=torch.float32)
    image = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", dtype=torch.float32)
    adapter = MotionAdapter.from_pretrained(folder, subfolder="motion_adapter", dtype=torch.float32)
    return UNetMotionModel.from_unet2d(image, adapter)


def silence_second_blocks(unet: UNetMotionModel) -> None:
    """Zero what the second transformer blocks of the motion modules add: the network is then the one without them."""
    for name, weight in unet.named_parameters():
        if ".transformer_blocks.1." in name and name.rpartition(".")[0].endswith(("to_out.0", "ff.net.2")):
            torch.nn.init.zeros_(weight)


def make_scheduler() -> DDIMScheduler:
    """Zero terminal SNR, v prediction, trailing steps: the schedule of training and of sampling."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def make_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer over a small alphabet, in which every known word is one token."""
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    words = sorted({word for group in CONCEPTS.values() for word in group if len(word) > 1})
    pieces = letters + [f"{letter}</w>" for letter in letters]
    merges: list[tuple[str, str]] = []
    split = {word: [*word[:-1], f"{word[-1]}</w>"] for word in words}
    while any(len(parts) > 1 for parts in split.values()):
        counts: dict[tuple[str, str], int] = {}
        for parts in split.values():
            for pair in pairwise(parts):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(sorted(counts), key=counts.__getitem__)
        merges.append(best)
        pieces.append("".join(best))
        split = {word: _merged(parts, best) for word, parts in split.items()}
    vocabulary = {piece: index for index, piece in enumerate([*dict.fromkeys(pieces), _BOS, _EOS])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    index = 0
    while index < len(parts):
        if tuple(parts[index : index + 2]) == pair:
            joined.append("".join(pair))
            index += 2
        else:
            joined.append(parts[index])
            index += 1
    return joined


@torch.no_grad()
def make_text_encoder(tokenizer: CLIPTokenizer, seed: int = 7) -> CLIPTextModel:
    """The frozen text encoder: one orthogonal vector a concept, shared by its words; everything unknown is a filler."""
    vocabulary = tokenizer.get_vocab()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=64,
            intermediate_size=128,
            projection_dim=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=vocabulary[_BOS],
            eos_token_id=vocabulary[_EOS],
            pad_token_id=vocabulary[_EOS],
        )
        encoder = CLIPTextModel(config)
        basis = torch.linalg.qr(torch.randn(64, 64))[0] * 8
        for name, weight in encoder.named_parameters():
            if name.endswith(("v_proj.weight", "out_proj.weight")):
                torch.nn.init.orthogonal_(weight, gain=1.6)
            if name.endswith("position_embedding.weight"):
                torch.nn.init.normal_(weight, std=0.25)
            if name.endswith("final_layer_norm.weight"):
                torch.nn.init.constant_(weight, 2.5)
        table = dict(encoder.named_parameters())["embeddings.token_embedding.weight"]
        fillers, start, end, *rows = basis
        table.copy_(fillers * 0.5)
        table[vocabulary[_BOS]], table[vocabulary[_EOS]] = start, end
        for row, (concept, words) in zip(rows, CONCEPTS.items(), strict=False):
            for word in words if concept else ():
                table[vocabulary[f"{word}</w>"]] = row
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def encode_text(prompts: list[str], tokenizer: CLIPTokenizer, encoder: CLIPTextModel) -> torch.Tensor:
    """The text states of prompts, [B, MAX_TOKENS, 64], as the pipeline computes them."""
    tokens = tokenizer(prompts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt")
    return encoder(tokens.input_ids)[0]


def digest(folder: Path) -> str:
    """The sha256 of a model folder's weights, all parts in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*/*.safetensors")):
        total.update(path.relative_to(folder).as_posix().encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def save_weights(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file so that a reader finds the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, partial)
    partial.replace(path)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file."""
    return load_file(path)


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load a module's weights from a safetensors file; every name must match."""
    module.load_state_dict(load_file(path))
