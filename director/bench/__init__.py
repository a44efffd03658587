"""`longtake bench`: speed as ratios against a named rival in the same run, with the machine beside them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from ..errors import UsageError


@dataclass(frozen=True)
class Row:
    """One measurement. `goal` is what we want of `value`, as text, and `met` whether this run reached it."""

    what: str
    value: str
    rival: str = ""
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Result:
    """The rows of one benchmark and the seconds it took."""

    name: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def _continuity(quick: bool) -> Result:
    from .continuity import measure

    return measure(quick)


def _quality(quick: bool) -> Result:
    from .quality import measure

    return measure(quick)


def _cluster(quick: bool) -> Result:
    from .cluster import measure

    return measure(quick)


def _render(quick: bool) -> Result:
    from .render import measure

    return measure(quick)


def _lockstep(quick: bool) -> Result:
    from .lockstep import measure

    return measure(quick)


def _plan(quick: bool) -> Result:
    from .planning import measure

    return measure(quick)


def _splice(quick: bool) -> Result:
    from .splice import measure

    return measure(quick)


def _places(quick: bool) -> Result:
    from .places import measure

    return measure(quick)


def _storage(quick: bool) -> Result:
    from .storage import measure

    return measure(quick)


def _methods(quick: bool, model: str | None = None) -> Result:
    from .methods import measure

    return measure(quick, model)


BENCHMARKS: dict[str, Callable[[bool], Result]] = {
    "cluster": _cluster,
    "continuity": _continuity,
    "quality": _quality,
    "render": _render,
    "lockstep": _lockstep,
    "methods": _methods,
    "places": _places,
    "plan": _plan,
    "splice": _splice,
    "storage": _storage,
}


def run(names: Sequence[str], quick: bool, model: str | None = None) -> dict[str, Any]:
    """Run benchmarks by name, all when none is named. model: what `methods` measures on instead of every family.

    Raises:
        UsageError: no benchmark of that name, or a model for another than `methods`.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise UsageError(f"there is no benchmark {name!r}; choose from: {', '.join(BENCHMARKS)}")
    if model is not None and set(names) != {"methods"}:
        told = " ".join(names) or "all"
        raise UsageError(
            f"--model {model} with {told}: only `methods` takes a model; longtake bench methods --model ID"
        )
    results = []
    with Console(stderr=True).status("") as status:
        for name in names or BENCHMARKS:
            status.update(f"measuring {name}")
            results.append(BENCHMARKS[name](quick) if model is None else _methods(quick, model))
    return {
        "schema": "longtake.bench.v1",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "quick": quick,
        "results": [asdict(result) for result in results],
    }


def machine() -> str:
    """The machine in a line, without its name."""
    from cluster.environment import installed

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores {platform.machine()}, {memory:.0f} GiB, Python {platform.python_version()}, "
        f"torch {installed('torch')}"
    )


def show(document: dict[str, Any]) -> None:
    """Tables for a person."""
    console = Console()
    console.print(f"{document['machine']}, {document['date']}{', quick' if document['quick'] else ''}", highlight=False)
    for result in document["results"]:
        table = Table("what", "longtake", "rival", "goal", title=result["name"], title_justify="left")
        for row in result["rows"]:
            mark = {True: " (met)", False: " (missed)", None: ""}[row["met"]]
            table.add_row(row["what"], row["value"], row["rival"], row["goal"] + mark)
        console.print(table)
        for note in result["notes"]:
            console.print(f"  {note}", highlight=False)
