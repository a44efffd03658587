"""Recipes by name. A preset is a function, so that what it chooses and why stand in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shots.spec import Cfg, NoChain, Pyoco, Recipe, Sampler, VidRD

DEFAULT_SAMPLER = Sampler()


@dataclass(frozen=True)
class Preset:
    """A recipe and the sampler that belongs to it, where the storyboard names none."""

    recipe: Recipe
    sampler: Sampler = DEFAULT_SAMPLER


def standard() -> Preset:
    """What a film gets without asking: CFG, independent noise, VidRD noise reuse between clips."""
    return Preset(Recipe())


def published_vidrd() -> Preset:
    """VidRD as its authors configured it (arXiv 2309.03549): M 4, alpha 4, beta 0.4, mirrored, CFG 10, 50 steps."""
    chain = VidRD(overlap=4, alpha=4.0, beta=0.4, schedule="staged", order="reverse")
    return Preset(Recipe(guidance=Cfg(10.0), chain=chain), Sampler(steps=50))


def published_pyoco() -> Preset:
    """PYoCo's progressive noise as published (arXiv 2305.10474): alpha 2. Its model was trained with that noise."""
    return Preset(Recipe(prior=Pyoco("progressive", 2.0)))


def independent() -> Preset:
    """Clips that do not know each other: the baseline to compare chains against."""
    return Preset(Recipe(chain=NoChain()))


def draft() -> Preset:
    """`standard` in eight steps: to see composition and timing, not quality."""
    return Preset(Recipe(), Sampler(steps=8))


PRESETS: dict[str, Callable[[], Preset]] = {
    "standard": standard,
    "draft": draft,
    "independent": independent,
    "published/vidrd": published_vidrd,
    "published/pyoco": published_pyoco,
}
"""Name in a storyboard -> the function that makes it."""

LATER = ("stg", "videoguide", "iv_mixed", "windows", "anchor")
"""Methods that storyboards may come to ask for and that this version cannot render."""

TODAY = "guidance cfg or cfg_plus_plus, prior iid or pyoco, chain vidrd or none"
"""The methods that work, for messages."""
