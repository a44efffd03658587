"""Tiny pipelines with made-up weights, one for every family, in the layout and with the quirks of the real ones.

`build(name)` makes a pipeline in memory, `save(name, folder)` a folder as `save_pretrained` writes it. Every stack of
blocks is at least three deep, so that one can be skipped in the middle. Weights come from our own named streams.
"""

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers as d
import torch
from transformers import ByT5Tokenizer

from shots.rng import frame_noise
from tests.shots.families import words as w


def fill(module: torch.nn.Module, seed: int) -> None:
    """Weights from our own named streams: golden values must not hang on how torch draws its random numbers."""
    for i, (name, parameter) in enumerate(module.named_parameters()):
        shape = tuple(parameter.shape)
        if len(shape) > 1:
            scale = 1 / math.sqrt(math.prod(shape[1:]))
            parameter.data.copy_(scale * frame_noise(seed, "weights", i, shape))
        elif name.endswith("bias"):
            parameter.data.zero_()


def filled(pipe: d.DiffusionPipeline) -> d.DiffusionPipeline:
    modules = {n: m for n, m in sorted(pipe.components.items()) if isinstance(m, torch.nn.Module)}
    for seed, module in enumerate(modules.values()):
        fill(module, seed)
        module.eval()
    return pipe


def noise_schedule(prediction: str, zero_snr: bool, spacing: str, **settings: Any) -> d.DDIMScheduler:
    return d.DDIMScheduler(
        **{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012} | settings,
        prediction_type=prediction,
        rescale_betas_zero_snr=zero_snr,
        timestep_spacing=spacing,
        steps_offset=1 if spacing == "leading" else 0,
        clip_sample=False,
    )


def flat_vae() -> d.AutoencoderKL:
    """Each frame by itself, two pixels a latent."""
    return d.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.5,
    )


def flat_unet() -> d.UNet2DConditionModel:
    return d.UNet2DConditionModel(
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


def animatediff(prediction: str = "v_prediction", zero_snr: bool = True, spacing: str = "trailing") -> Any:
    words = w.clip_words()
    unet, vae, text = flat_unet(), flat_vae(), w.clip_encoder(words)
    motion = d.MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=8,
        motion_max_seq_length=24,
    )
    for seed, module in enumerate((unet, motion, vae, text)):
        fill(module, seed)
    scheduler = noise_schedule(prediction, zero_snr, spacing)
    return d.AnimateDiffPipeline(vae, text, words, unet, motion, scheduler)


def stable_diffusion() -> Any:
    words = w.clip_words()
    made = d.StableDiffusionPipeline(
        vae=flat_vae(),
        text_encoder=w.clip_encoder(words),
        tokenizer=words,
        unet=flat_unet(),
        scheduler=noise_schedule("epsilon", False, "leading"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return filled(made)


def text_to_video_sd() -> Any:
    words = w.clip_words()
    unet = d.UNet3DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    scheduler = noise_schedule("epsilon", False, "leading", set_alpha_to_one=False)
    return filled(d.TextToVideoSDPipeline(flat_vae(), w.clip_encoder(words), words, unet, scheduler))


def ltx(timestep_conditioning: bool = False) -> Any:
    words = w.t5_words()
    vae = d.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        timestep_conditioning=timestep_conditioning,
        patch_size=2,
    )
    # Statistics of the latents are buffers in this VAE; any but the identity.
    vae.latents_mean.copy_(torch.linspace(-0.5, 0.5, 8))
    vae.latents_std.copy_(torch.linspace(0.7, 1.4, 8))
    transformer = d.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=3,
        caption_channels=w.WIDTH,
    )
    scheduler = d.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1,
    )
    return filled(d.LTXPipeline(scheduler, vae, w.t5_encoder(words), words, transformer))


def ltx2_transformer() -> d.LTX2VideoTransformer3DModel:
    return d.LTX2VideoTransformer3DModel(
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
        num_layers=3,
        caption_channels=w.WIDTH,
        rope_double_precision=False,
        rope_type="split",
    )


def ltx2() -> Any:
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder

    words = w.gemma_words()
    vae = d.AutoencoderKLLTX2Video(
        latent_channels=4,
        block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        spatio_temporal_scaling=(True, True),
        decoder_spatio_temporal_scaling=(True, True),
        decoder_inject_noise=(False,) * 3,
        downsample_type=("spatiotemporal",) * 2,
        upsample_type=("spatiotemporal",) * 2,
        upsample_residual=(False,) * 2,
        upsample_factor=(1, 1),
        patch_size=2,
    )
    vae.latents_mean.copy_(torch.linspace(-0.5, 0.5, 4))
    vae.latents_std.copy_(torch.linspace(0.7, 1.4, 4))
    audio = d.AutoencoderKLLTX2Audio(
        base_channels=4, ch_mult=(1,), num_res_blocks=1, resolution=32, latent_channels=2, mel_bins=8
    )
    heads = {"attention_head_dim": 8, "num_attention_heads": 2, "num_layers": 1, "num_learnable_registers": None}
    connectors = LTX2TextConnectors(
        caption_channels=w.WIDTH,
        text_proj_in_factor=3,
        **{f"{kind}_connector_{name}": value for kind in ("video", "audio") for name, value in heads.items()},
        connector_rope_base_seq_len=32,
        rope_double_precision=False,
        rope_type="split",
    )
    vocoder = LTX2Vocoder(
        in_channels=16,
        hidden_channels=8,
        upsample_kernel_sizes=[4],
        upsample_factors=[2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1]],
    )
    scheduler = d.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, shift_terminal=0.1
    )
    return filled(
        d.LTX2Pipeline(
            scheduler=scheduler,
            vae=vae,
            audio_vae=audio,
            text_encoder=w.gemma_encoder(words),
            tokenizer=words,
            connectors=connectors,
            transformer=ltx2_transformer(),
            vocoder=vocoder,
        )
    )


def wan_transformer(channels: int = 16, **settings: Any) -> d.WanTransformer3DModel:
    return d.WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=channels,
        out_channels=16,
        text_dim=w.WIDTH,
        freq_dim=32,
        ffn_dim=32,
        num_layers=3,
        **settings,
    )


def wan(experts: int = 1, expand_timesteps: bool = False, multistep: bool = False) -> Any:
    """2.1 with one expert, 2.2 with two. `multistep`: with the UniPC scheduler of the published folders."""
    words = w.t5_words()
    vae = d.AutoencoderKLWan(base_dim=3, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    return filled(
        d.WanPipeline(
            tokenizer=words,
            text_encoder=w.t5_encoder(words, multilingual=True),
            vae=vae,
            scheduler=_wan_schedule(multistep),
            transformer=wan_transformer(),
            transformer_2=wan_transformer() if experts == 2 else None,
            boundary_ratio=0.875 if experts == 2 else None,
            expand_timesteps=expand_timesteps,
        )
    )


def _wan_schedule(multistep: bool) -> Any:
    if multistep:
        return d.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    return d.FlowMatchEulerDiscreteScheduler(shift=3.0)


def wan_image(experts: int = 1) -> Any:
    """2.1 looks at the picture with CLIP as well; 2.2, of two experts, does not."""
    words, looks = w.t5_words(), experts == 1
    seeing = {"image_dim": 16, "added_kv_proj_dim": 24} if looks else {}
    return filled(
        d.WanImageToVideoPipeline(
            tokenizer=words,
            text_encoder=w.t5_encoder(words, multilingual=True),
            vae=d.AutoencoderKLWan(base_dim=3, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
            scheduler=_wan_schedule(False),
            transformer=wan_transformer(36, **seeing),
            transformer_2=wan_transformer(36) if experts == 2 else None,
            boundary_ratio=0.9 if experts == 2 else None,
            image_encoder=w.clip_eye() if looks else None,
            image_processor=w.CLIPImageProcessorPil(size=16, crop_size=16) if looks else None,
        )
    )


def cog_vae(channels: int = 4) -> d.AutoencoderKLCogVideoX:
    return d.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        latent_channels=channels,
        layers_per_block=1,
        norm_num_groups=2,
        sample_height=32,
        sample_width=32,
    )


def cog_schedule() -> d.CogVideoXDDIMScheduler:
    return d.CogVideoXDDIMScheduler(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=3.0,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def cog_transformer(version: str = "1.0", channels: int = 4, **settings: Any) -> d.CogVideoXTransformer3DModel:
    newer = {"patch_size_t": 2, "patch_bias": False, "use_rotary_positional_embeddings": True}
    return d.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=channels,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=w.WIDTH,
        num_layers=3,
        sample_width=8,
        sample_height=6,
        sample_frames=9,
        spatial_interpolation_scale=1.0,
        **(newer if version == "1.5" else {}) | settings,
    )


def cogvideox(version: str = "1.0") -> Any:
    words = w.t5_words()
    transformer = cog_transformer(version)
    return filled(d.CogVideoXPipeline(words, w.t5_encoder(words), cog_vae(), transformer, cog_schedule()))


def cogvideox_image(version: str = "1.0") -> Any:
    words = w.t5_words()
    transformer = cog_transformer(version, channels=8)
    made = d.CogVideoXImageToVideoPipeline(words, w.t5_encoder(words), cog_vae(), transformer, cog_schedule())
    return filled(made)


def mochi() -> Any:
    words = w.t5_words(256)
    vae = d.AutoencoderKLMochi(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4, layers_per_block=(1,) * 5
    )
    transformer = d.MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        pooled_projection_dim=16,
        text_embed_dim=w.WIDTH,
        time_embed_dim=4,
    )
    scheduler = d.FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    return filled(d.MochiPipeline(scheduler, vae, w.t5_encoder(words), words, transformer))


def hunyuan_parts(**settings: Any) -> dict[str, Any]:
    """What the model with a picture and the one without have in common."""
    clip = w.clip_words(77)
    transformer = d.HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=3,
        num_single_layers=3,
        num_refiner_layers=1,
        text_embed_dim=w.WIDTH,
        pooled_projection_dim=w.WIDTH,
        rope_axes_dim=(2, 4, 4),
        **settings,
    )
    return {
        "transformer": transformer,
        "vae": d.AutoencoderKLHunyuanVideo(
            latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4
        ),
        "scheduler": d.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "text_encoder_2": w.clip_encoder(clip, 77),
        "tokenizer_2": clip,
    }


def hunyuan_video() -> Any:
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE as TEMPLATE

    words = w.llama_words(TEMPLATE["template"].split("{}")[0], TEMPLATE["crop_start"])
    reading = {"text_encoder": w.llama_encoder(words), "tokenizer": words}
    return filled(d.HunyuanVideoPipeline(**reading, **hunyuan_parts()))


def hunyuan_video_image() -> Any:
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video_image2video import DEFAULT_PROMPT_TEMPLATE as TEMPLATE

    words = w.llava_words(TEMPLATE["template"], TEMPLATE["crop_start"])
    seeing = {"image_processor": w.CLIPImageProcessorPil(size=96, crop_size=96)}
    reading = {"text_encoder": w.llava(words), "tokenizer": words}
    parts = hunyuan_parts(image_condition_type="token_replace", guidance_embeds=True)
    return filled(d.HunyuanVideoImageToVideoPipeline(**reading, **seeing, **parts))


def latte() -> Any:
    words = w.t5_words(120)
    transformer = d.LatteTransformer3DModel(
        sample_size=8,
        num_layers=3,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=w.WIDTH,
        in_channels=4,
        cross_attention_dim=16,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        video_length=4,
    )
    scheduler = noise_schedule("epsilon", False, "leading", beta_schedule="linear")
    return filled(d.LattePipeline(words, w.t5_encoder(words), flat_vae(), transformer, scheduler))


HUNYUAN15_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def hunyuan15_transformer(task: str = "t2v") -> d.HunyuanVideo15Transformer3DModel:
    return d.HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=w.WIDTH,
        text_embed_2_dim=w.WIDTH,
        image_embed_dim=12,
        rope_axes_dim=(2, 2, 4),
        target_size=64,
        task_type=task,
    )


def hunyuan_video15(image: bool = False) -> Any:
    default = inspect.signature(d.HunyuanVideo15Pipeline._get_mllm_prompt_embeds).parameters
    before = f"<|im_start|>system\n{default['system_message'].default}<|im_end|>\n<|im_start|>user\n"
    words = w.llama_words(before, default["crop_start"].default, HUNYUAN15_TEMPLATE)
    vae = d.AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(8, 8, 8, 8, 8), layers_per_block=1, scaling_factor=0.7
    )
    glyphs = ByT5Tokenizer()
    parts = {
        "text_encoder": w.qwen_encoder(words),
        "tokenizer": words,
        "transformer": hunyuan15_transformer("i2v" if image else "t2v"),
        "vae": vae,
        "scheduler": d.FlowMatchEulerDiscreteScheduler(shift=5.0),
        "text_encoder_2": w.t5_encoder(glyphs),
        "tokenizer_2": glyphs,
        "guider": d.ClassifierFreeGuidance(guidance_scale=6.0),
    }
    if not image:
        return filled(d.HunyuanVideo15Pipeline(**parts))
    eye = {
        "image_encoder": w.siglip_eye(),
        "feature_extractor": w.SiglipImageProcessorPil(size={"height": 8, "width": 8}),
    }
    return filled(d.HunyuanVideo15ImageToVideoPipeline(**parts, **eye))


BUILDERS: dict[str, Callable[[], Any]] = {
    "animatediff": animatediff,
    "text_to_video_sd": text_to_video_sd,
    "stable_diffusion": stable_diffusion,
    "ltx": ltx,
    "ltx_timed": lambda: ltx(timestep_conditioning=True),
    "ltx2": ltx2,
    "wan": wan,
    "wan_unipc": lambda: wan(multistep=True),
    "wan22": lambda: wan(experts=2),
    "wan22_5b": lambda: wan(expand_timesteps=True),
    "wan_image": wan_image,
    "wan22_image": lambda: wan_image(experts=2),
    "cogvideox_image": cogvideox_image,
    "cogvideox15_image": lambda: cogvideox_image("1.5"),
    "hunyuan_video15_image": lambda: hunyuan_video15(image=True),
    "cogvideox": cogvideox,
    "cogvideox15": lambda: cogvideox("1.5"),
    "mochi": mochi,
    "hunyuan_video": hunyuan_video,
    "hunyuan_video_image": hunyuan_video_image,
    "hunyuan_video15": hunyuan_video15,
    "latte": latte,
}


def lighten(pipe: Any) -> Any:
    """Fewer tokens where a pipeline holds their number itself, so that tests need not wait for text."""
    if type(pipe).__name__.startswith("HunyuanVideo15"):
        pipe.tokenizer_max_length, pipe.tokenizer_2_max_length, pipe.vision_num_semantic_tokens = 32, 8, 5
    pipe.set_progress_bar_config(disable=True)
    return pipe


def build(name: str) -> Any:
    """The tiny pipeline of this name, on the CPU, in float32."""
    return lighten(BUILDERS[name]())


def save(name: str, folder: Path) -> Path:
    """`folder`, holding the tiny pipeline of this name."""
    build(name).save_pretrained(folder)
    return folder
