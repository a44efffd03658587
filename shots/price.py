"""The bill before it is run: network evaluations of a clip. One NFE is one sample through the network once."""

from __future__ import annotations

from .spec import Cfg, ClipSpec


def passes_per_step(spec: ClipSpec) -> int:
    """Branches evaluated at each step: the conditional one, and the unconditional one when guidance needs it."""
    guidance = spec.recipe.guidance
    return 1 if isinstance(guidance, Cfg) and guidance.scale == 1.0 else 2


def predicted_nfe(spec: ClipSpec) -> int:
    """NFE of one clip. Chaining (VidRD) and correlated priors (PYoCo) cost none."""
    return spec.sampler.steps * passes_per_step(spec)
