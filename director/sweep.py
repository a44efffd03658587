"""One setting of a recipe over some values, under the very rules that a storyboard's `recipe:` has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from shots.errors import ModelError
from shots.models import describe
from shots.settings import ModelRef
from shots.spec import Recipe

from .ablation import Variant, sensible
from .errors import Problem, UsageError
from .findings import Findings
from .loading import loading_of
from .methods import Model, RecipeChoice
from .problems import Path, nearest, problems_of
from .recipes import chosen_recipe
from .settle import SettledShot
from .source import Source
from .syntax import BadText, Document, Mark, read_yaml

AT: Path = ("defaults", "recipe")
"""Where a recipe stands in a storyboard, for its rules."""


def swept(shot: SettledShot, setting: str, values: Sequence[str], clips: int, base: FilePath) -> list[Variant]:
    """The shot's recipe with one setting, such as `stg.scale`, at each of the values.

    A value is written as in a storyboard; a list with + between its entries. base: where folders of models begin.

    Raises:
        UsageError: no such setting, or a value that a storyboard may not have there.
    """
    method, _, name = setting.partition(".")
    methods = [field for field in RecipeChoice.model_fields if field != "preset"]
    if method not in methods:
        raise UsageError(f"--sweep: a recipe has no method {method!r}; it has {', '.join(methods)}")
    known = _settings(method)
    if name not in known:
        close = nearest(name, known)
        raise UsageError(
            f"--sweep: {method} has no setting {name!r}; it has {', '.join(known)}"
            + (f"; did you mean {close!r}?" if close else "")
        )
    recipes = [(text, _changed(shot.recipe, method, name, text, base)) for text in values]
    return [sensible(f"{setting} {text}", recipe, shot, clips) for text, recipe in recipes]


def _settings(method: str) -> list[str]:
    """Names of a method's settings in a storyboard."""
    choice = RecipeChoice.model_fields[method].annotation
    (part,) = [one for one in choice.__args__ if one is not type(None)]  # type: ignore[union-attr]
    return list(part.model_fields)


def _changed(recipe: Recipe, method: str, name: str, text: str, base: FilePath) -> Recipe:
    problem: Problem | None = None
    for given in _readings(text):
        findings = _findings({method: {name: given}})
        try:
            choice = RecipeChoice.model_validate({method: {name: given}})
        except ValidationError as error:
            problem = problem or next(problems_of(error, findings.source, AT))
            continue
        made = chosen_recipe(findings, (), recipe, choice, None, partial(_found, findings, base))
        if made is not None:
            return made
        problem = findings.problems[0]
        break
    assert problem is not None
    allowed = f"; allowed: {problem.allowed}" if problem.allowed else ""
    raise UsageError(f"--sweep: {method}.{name} cannot be {text!r}: {problem.what}{allowed}")


def _readings(text: str) -> Iterator[Any]:
    """What a value may mean: what YAML takes it for, the letters themselves, and a list of either."""
    parts = text.split("+")
    if (plain := _plain(text)) is not None:  # nothing would be the default
        yield plain
    yield text
    yield [_plain(part) for part in parts]
    yield parts


def _plain(text: str) -> Any:
    try:
        return read_yaml(f"value: {text}").data["value"]
    except BadText:
        return text


def _findings(data: dict[str, Any]) -> Findings:
    return Findings(Source(FilePath("--sweep"), "--sweep", "", Document(data, Mark(0, 0))))


def _found(findings: Findings, base: FilePath, at: Path, model: Model) -> ModelRef | None:
    try:
        return describe(model.id, base, model.revision, model.dtype or "float32", loading_of(model)).ref()
    except ModelError as error:
        findings.add((*at, *error.at), str(error))
        return None
