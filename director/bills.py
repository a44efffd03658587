"""What a clip costs, method by method, for the model that makes it. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from shots.errors import ModelError
from shots.models import ModelCard, describe
from shots.price import bill
from shots.spec import ClipSpec, ModelRef

Bill = tuple[tuple[str, int], ...]
"""(what costs it, network evaluations), in the order of `shots.price.bill`."""

NAMES: Mapping[str, str] = {
    "guidance": "guidance",
    "stg": "skip guidance",
    "videoguide": "VideoGuide",
    "iv_mixed": "IV-Mixed",
}
"""As a table says it."""


def bill_of(spec: ClipSpec, card: ModelCard) -> Bill:
    """The bill of a clip. Where VideoGuide counts its steps by their noise, the model's own grid is asked."""
    guide = spec.recipe.videoguide
    levels = card.grid(spec, guide.until) if guide and guide.until is not None else None
    taught = _distilled(guide.teacher) if guide and guide.teacher else None
    return tuple(bill(spec, card.traits.distilled, levels, taught).items())


def bill_of_other(spec: ClipSpec) -> Bill:
    """The bill of a clip that the storyboard does not ask for; empty where its models are not here."""
    try:
        return bill_of(spec, describe(spec.model.id))
    except ModelError:
        return ()


@cache
def _distilled(ref: ModelRef) -> bool:
    return describe(ref.id).traits.distilled
