"""From the recipe of a storyboard to the recipe of a shot: preset, then the film's settings, then the shot's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from pydantic import BaseModel

from shots.settings import KINDS, CfgPlusPlus, IvMixed, ModelRef, Stg, VideoGuide
from shots.spec import Recipe

from .findings import Findings
from .methods import Model, RecipeChoice
from .presets import IMAGE_MODEL, PRESETS, Preset
from .problems import Path, nearest

Lookup = Callable[[Path, Model], ModelRef | None]
"""Find a model that a recipe names; None when it is not here, which has then been reported."""

REQUIRED = ("guidance", "prior", "chain")
OPTIONAL: dict[str, Any] = {"stg": Stg, "videoguide": VideoGuide, "iv_mixed": IvMixed}
MODELS = ("teacher", "image")
"""Settings that name a model."""


class _Meaningless(Exception):
    """A setting has no meaning where it stands; it has been reported."""


def chosen_preset(own: RecipeChoice | None, film: RecipeChoice | None) -> Preset:
    """The preset that a shot starts from: its own, else the film's, else `standard`."""
    names = (choice.preset for choice in (own, film) if choice and choice.preset is not None)
    return PRESETS[next(names, "standard")]()


def chosen_recipe(
    findings: Findings, at: Path, base: Recipe, own: RecipeChoice | None, film: RecipeChoice | None, lookup: Lookup
) -> Recipe | None:
    """The recipe of a shot, its models found; None when something in it has no meaning or is not here.

    A shot that names a preset starts anew from it; otherwise it changes the film's.
    """
    recipe = base
    try:
        if film and not (own and own.preset is not None):
            recipe = overridden(findings, ("defaults", "recipe"), recipe, film, lookup)
        if own:
            recipe = overridden(findings, (*at, "recipe"), recipe, own, lookup)
        return _with_models(at, recipe, lookup)
    except _Meaningless:
        return None


def overridden(findings: Findings, at: Path, base: Recipe, choice: RecipeChoice, lookup: Lookup) -> Recipe:
    """`base` with the settings that `choice` names."""
    parts: dict[str, Any] = {}
    for name in REQUIRED:
        part = getattr(choice, name)
        if part is not None:
            given = _given(part, (*at, name), lookup)
            kind = KINDS[given.pop("kind", getattr(base, name).kind)]
            parts[name] = _part(findings, (*at, name), getattr(base, name), kind, given)
    for name, kind in OPTIONAL.items():
        part = getattr(choice, name)
        if part is not None:
            given = _given(part, (*at, name), lookup)
            on = given.pop("use", "on") == "on"
            parts[name] = _part(findings, (*at, name), getattr(base, name), kind, given) if on else None
    return replace(base, **parts)


def _given(choice: BaseModel, at: Path, lookup: Lookup) -> dict[str, Any]:
    """The settings that were written, lists as tuples and models found."""
    found: dict[str, Any] = {}
    for name in type(choice).model_fields:
        value = getattr(choice, name)
        if isinstance(value, Model):
            found[name] = _found((*at, name), value, lookup)
        elif value is not None:
            found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _found(at: Path, model: Model, lookup: Lookup) -> ModelRef:
    ref = lookup(at, model)
    if ref is None:
        raise _Meaningless
    return ref


def _part(findings: Findings, at: Path, base: Any, kind: Any, given: dict[str, Any]) -> Any:
    """One method's settings: those of `base` where the kind stays, the kind's own defaults where it changes."""
    known = [f.name for f in fields(kind)]
    strange = [name for name in given if name not in known]
    for name in strange:
        what = f"{kind.kind} has no setting {name!r}"
        allowed = ", ".join(known) if known else "no settings"
        findings.add((*at, name), what, given[name], allowed=allowed, near=nearest(name, known))
    if strange:
        raise _Meaningless
    if kind is IvMixed and not isinstance(base, kind):
        given = {"image": ModelRef(IMAGE_MODEL), **given}
    made = replace(base, **given) if isinstance(base, kind) else kind(**given)
    if isinstance(made, CfgPlusPlus) and not 0 <= made.scale <= 1:
        findings.add((*at, "scale"), "out of range for cfg_plus_plus", made.scale, allowed="0 to 1")
        raise _Meaningless
    return made


def _with_models(at: Path, recipe: Recipe, lookup: Lookup) -> Recipe:
    """The recipe with every model that a preset only names looked up."""
    found: dict[str, Any] = {}
    for part in OPTIONAL:
        settings = getattr(recipe, part)
        for name in MODELS:
            ref = getattr(settings, name, None)
            if isinstance(ref, ModelRef) and not ref.digest:
                place = (*at, "recipe", part, name)
                found[part] = replace(settings, **{name: _found(place, Model(id=ref.id), lookup)})
    return replace(recipe, **found)
