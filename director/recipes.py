"""From the recipe of a storyboard to the recipe of a shot: preset, then the film's settings, then the shot's own."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from pydantic import BaseModel

from shots.spec import Cfg, CfgPlusPlus, Iid, NoChain, Pyoco, Recipe, VidRD

from .board import RecipeChoice
from .findings import Findings
from .presets import PRESETS, Preset
from .problems import Path, nearest

KINDS: dict[str, Any] = {c.kind: c for c in (Cfg, CfgPlusPlus, Iid, Pyoco, NoChain, VidRD)}


def chosen_preset(own: RecipeChoice | None, film: RecipeChoice | None) -> Preset:
    """The preset that a shot starts from: its own, else the film's, else `standard`."""
    names = (choice.preset for choice in (own, film) if choice and choice.preset is not None)
    return PRESETS[next(names, "standard")]()


def chosen_recipe(
    findings: Findings, at: Path, base: Recipe, own: RecipeChoice | None, film: RecipeChoice | None
) -> Recipe | None:
    """The recipe of a shot. A shot that names a preset starts anew from it; otherwise it changes the film's."""
    recipe: Recipe | None = base
    if film and not (own and own.preset is not None):
        recipe = overridden(findings, ("defaults", "recipe"), base, film)
    if recipe and own:
        recipe = overridden(findings, (*at, "recipe"), recipe, own)
    return recipe


def overridden(findings: Findings, at: Path, base: Recipe, choice: RecipeChoice) -> Recipe | None:
    """`base` with the settings that `choice` names; None when one has no meaning there."""
    parts: dict[str, Any] = {}
    for name in ("guidance", "prior", "chain"):
        part = getattr(choice, name)
        if part is not None:
            parts[name] = _part(findings, (*at, name), getattr(base, name), part)
    return None if None in parts.values() else replace(base, **parts)


def _part(findings: Findings, at: Path, base: Any, choice: BaseModel) -> Any:
    """One method's settings: those of `base` where the kind stays, the kind's own defaults where it changes."""
    given = {k: v for k, v in choice.model_dump().items() if v is not None}
    kind = KINDS[given.pop("kind", base.kind)]
    known = [f.name for f in fields(kind)]
    strange = [name for name in given if name not in known]
    for name in strange:
        what = f"{kind.kind} has no setting {name!r}"
        allowed = ", ".join(known) if known else "no settings"
        findings.add((*at, name), what, given[name], allowed=allowed, near=nearest(name, known))
    if strange:
        return None
    made = replace(base, **given) if isinstance(base, kind) else kind(**given)
    if isinstance(made, CfgPlusPlus) and not 0 <= made.scale <= 1:
        findings.add((*at, "scale"), "out of range for cfg_plus_plus", made.scale, allowed="0 to 1")
        return None
    return made
