"""A tiny AnimateDiff pipeline with made-up weights, saved to a folder as any real one is."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AnimateDiffPipeline, AutoencoderKL, DDIMScheduler, MotionAdapter, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from shots.models import describe
from shots.rng import frame_noise
from shots.shoot import Model, load
from shots.spec import Cfg, ClipSpec, Iid, NoChain, Recipe, Sampler

Chain = Callable[..., list[ClipSpec]]


def fill(module: torch.nn.Module, seed: int) -> None:
    """Weights from our own named streams: golden values must not hang on how torch draws its random numbers."""
    for i, (name, parameter) in enumerate(module.named_parameters()):
        shape = tuple(parameter.shape)
        if len(shape) > 1:
            scale = 1 / math.sqrt(math.prod(shape[1:]))
            parameter.data.copy_(scale * frame_noise(seed, "weights", i, shape))
        elif name.endswith("bias"):
            parameter.data.zero_()


def tokenizer() -> CLIPTokenizer:
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=12)


def tiny_unet() -> UNet2DConditionModel:
    """The image network in the tiny model."""
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    fill(unet, 0)
    return unet


def save_tiny(folder: Path, prediction: str, zero_snr: bool, spacing: str) -> Path:
    words = tokenizer()
    unet = tiny_unet()
    motion = MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=8,
        motion_max_seq_length=24,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.5,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=12,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )
    for seed, module in enumerate((unet, motion, vae, text)):
        fill(module, seed)
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type=prediction,
        rescale_betas_zero_snr=zero_snr,
        timestep_spacing=spacing,
        steps_offset=1 if spacing == "leading" else 0,
        clip_sample=False,
    )
    AnimateDiffPipeline(vae, text, words, unet, motion, scheduler).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predicts v, from pure noise (zero-SNR, trailing), as the pocket model does."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "v_prediction", True, "trailing")


@pytest.fixture(scope="session")
def epsilon_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predicts epsilon, from almost pure noise (leading), as Stable Diffusion does."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-epsilon", "epsilon", False, "leading")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Model:
    return load(describe(str(tiny_folder)), device="cpu", threads=2)


@pytest.fixture(scope="session")
def tiny_epsilon(epsilon_folder: Path) -> Model:
    return load(describe(str(epsilon_folder)), device="cpu", threads=1)


def make_chain(
    model: Model,
    clips: int = 1,
    *,
    recipe: Recipe | None = None,
    frames: int = 6,
    steps: int = 4,
    prompts: tuple[str, ...] = ("a red boat",),
    seed: int = 7,
) -> list[ClipSpec]:
    recipe = recipe or Recipe(Cfg(3.0), Iid(), NoChain())
    specs: list[ClipSpec] = []
    for k in range(clips):
        previous = specs[-1].key if specs and not isinstance(recipe.chain, NoChain) else None
        specs.append(
            ClipSpec(
                model=model.card.ref(),
                width=16,
                height=32,
                frames=frames,
                prompt=prompts[k % len(prompts)],
                negative_prompt="fog",
                seed=seed,
                index=k,
                sampler=Sampler("ddim", steps),
                recipe=recipe,
                previous=previous,
            )
        )
    return specs


@pytest.fixture(scope="session")
def chain() -> Chain:
    """Makes the specs of one chain for a model."""
    return make_chain
