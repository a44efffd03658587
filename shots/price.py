"""The bill before it is run: network evaluations of a clip. One NFE is one sample through the network once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from . import ivmixed, videoguide
from .branches import branches, passes
from .levels import Level
from .spec import ClipSpec


def bill(
    spec: ClipSpec,
    distilled: bool = False,
    levels: Sequence[Level] | None = None,
    teacher_distilled: bool | None = None,
) -> dict[str, int]:
    """NFE of one clip by what costs them: guidance, stg, videoguide, iv_mixed. Chaining and priors cost none.

    distilled: the model has no unconditional branch. levels: of the model's grid; needed for `videoguide.until`.
    teacher_distilled: the same of a teacher that is another model (None: it is as the clip's own).

    Raises:
        SpecError: CFG++ on a distilled model, or `until` without levels.
    """
    recipe, steps, made = spec.recipe, spec.sampler.steps, spec.sampler.made
    plain = passes(replace(recipe, stg=None), steps, distilled, made)
    found = {"guidance": plain}
    if recipe.stg:
        found["stg"] = passes(recipe, steps, distilled, made) - plain
    if recipe.videoguide:
        told, theirs = replace(recipe, stg=None), distilled if teacher_distilled is None else teacher_distilled
        asked = videoguide.nfe(
            recipe.videoguide,
            steps,
            lambda step: len(branches(told, step, steps, theirs)) if step < made else 0,
            levels,
        )
        found["videoguide"] = asked
    if recipe.iv_mixed:
        found["iv_mixed"] = sum(ivmixed.nfe(recipe.iv_mixed, steps, made))
    return found


def predicted_nfe(spec: ClipSpec, distilled: bool = False, levels: Sequence[Level] | None = None) -> int:
    """NFE of one clip, all methods together."""
    return sum(bill(spec, distilled, levels).values())
