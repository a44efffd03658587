"""Recipes by name. A preset is a function, so that what it chooses and why stand in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shots.spec import (
    Cfg,
    CfgPlusPlus,
    FreeNoise,
    IvMixed,
    ModelRef,
    NoChain,
    Pyoco,
    Recipe,
    Sampler,
    Stg,
    VideoGuide,
    VidRD,
    Windows,
)

DEFAULT_SAMPLER = Sampler()
IMAGE_MODEL = "pocket-image"
"""What IV-Mixed takes where none is named; `plan` refuses it beside a model of another latent space."""


@dataclass(frozen=True)
class Preset:
    """A recipe and the sampler that belongs to it, where the storyboard names none."""

    recipe: Recipe
    sampler: Sampler = DEFAULT_SAMPLER


def standard() -> Preset:
    """What a film gets without asking: CFG, independent noise, VidRD noise reuse between clips."""
    return Preset(Recipe())


def long_take() -> Preset:
    """For shots of many clips: `standard`, and skip guidance against drift in the middle of the denoising."""
    return Preset(Recipe(stg=Stg(scale=0.5, start=0.2, stop=0.8)))


def film() -> Preset:
    """Everything that pays: `standard` with skip guidance at full strength and the model as its own early guide."""
    return Preset(Recipe(stg=Stg(), videoguide=VideoGuide(steps=3, tau=3, low_pass=False)))


def windows() -> Preset:
    """Clips that overlap and are averaged at every step, over shuffled noise (MultiDiffusion and FreeNoise)."""
    return Preset(Recipe(prior=FreeNoise(), chain=Windows()))


def published_vidrd() -> Preset:
    """VidRD as its authors configured it (arXiv 2309.03549): M 4, alpha 4, beta 0.4, mirrored, CFG 10, 50 steps."""
    chain = VidRD(overlap=4, alpha=4.0, beta=0.4, schedule="staged", order="reverse")
    return Preset(Recipe(guidance=Cfg(10.0), chain=chain), Sampler(steps=50))


def published_pyoco() -> Preset:
    """PYoCo's progressive noise as published (arXiv 2305.10474): alpha 2. Its model was trained with that noise."""
    return Preset(Recipe(prior=Pyoco("progressive", 2.0), chain=NoChain()))


def published_videoguide() -> Preset:
    """VideoGuide as published (arXiv 2410.04364): I 5, tau 10, beta 0.8, CFG++ 0.8, 50 steps, self-guided."""
    guide = VideoGuide(steps=5, tau=10, beta=0.8, cutoff=0.125)
    return Preset(Recipe(guidance=CfgPlusPlus(0.8), chain=NoChain(), videoguide=guide), Sampler(steps=50))


def published_stg() -> Preset:
    """STG as published (arXiv 2411.18664): the layer left out for its model, scale 1, all steps, 50 of them."""
    return Preset(Recipe(guidance=Cfg(5.0), chain=NoChain(), stg=Stg(scale=1.0)), Sampler(steps=50))


def published_iv_mixed() -> Preset:
    """IV-Mixed as published (arXiv 2410.04171): gammas 4, all steps, CFG 7.5, 50 steps; five times the price."""
    mixed = IvMixed(image=ModelRef(IMAGE_MODEL))
    return Preset(Recipe(guidance=Cfg(7.5), chain=NoChain(), iv_mixed=mixed), Sampler(steps=50))


def independent() -> Preset:
    """Clips that do not know each other: the baseline to compare chains against."""
    return Preset(Recipe(chain=NoChain()))


def draft() -> Preset:
    """`standard` in eight steps: to see composition and timing, not quality."""
    return Preset(Recipe(), Sampler(steps=8))


PRESETS: dict[str, Callable[[], Preset]] = {
    "standard": standard,
    "draft": draft,
    "long_take": long_take,
    "film": film,
    "windows": windows,
    "independent": independent,
    "published/vidrd": published_vidrd,
    "published/pyoco": published_pyoco,
    "published/videoguide": published_videoguide,
    "published/stg": published_stg,
    "published/iv_mixed": published_iv_mixed,
}
"""Name in a storyboard -> the function that makes it."""
