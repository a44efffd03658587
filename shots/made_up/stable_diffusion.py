"""Stable Diffusion: the image model of IV-Mixed sampling, in the latent space of all `flat` families."""

from __future__ import annotations

from typing import Any

import diffusers as d

from . import words as w
from .flat import flat_unet, flat_vae, noise_schedule
from .sizes import TINY, Size, filled


def stable_diffusion(size: Size = TINY) -> Any:
    """Without its safety checker."""
    words = w.clip_words()
    made = d.StableDiffusionPipeline(
        vae=flat_vae(),
        text_encoder=w.clip_encoder(words),
        tokenizer=words,
        unet=flat_unet(size),
        scheduler=noise_schedule("epsilon", False, "leading"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return filled(made)
