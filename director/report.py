"""Plans, results and findings, as tables for a person and documents for a program."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import shorten
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .bills import NAMES, Bill
from .doctor import Finding
from .observer import FilmResult
from .planned import Plan, PlannedShot
from .streams import screen
from .survey import Survey, SurveyedClip

MOST_ROWS = 60
"""Shots that a table shows; those with something to render come first when there are more."""


def plan_json(surveys: Sequence[Survey]) -> dict[str, Any]:
    """One document for all films. The same storyboard and store give the same text, byte for byte."""
    return {"schema": "longtake.plan.v1", "films": [_film(survey) for survey in surveys]}


def _film(survey: Survey) -> dict[str, Any]:
    states = [
        {"state": c.state, "why": list(c.why), "cause": c.cause, "selected": c.clip.key not in survey.left}
        for c in survey.clips
    ]
    return {
        "plan": survey.plan.to_dict(),
        "clips": [
            {"slate": str(c.clip.slate), "take": c.clip.slate.take, "key": c.clip.key, "nfe": dict(c.clip.bill)} | s
            for c, s in zip(survey.clips, states, strict=True)
        ],
        "render": len(survey.wanted),
        "nfe": survey.nfe,
        "seconds": survey.seconds,
        "bytes": survey.bytes,
        "warnings": list(survey.plan.warnings),
    }


def show_plan(survey: Survey, recut: bool = False) -> None:
    """The table that `longtake plan` prints. recut: the film's clips are all there, but it is not cut so."""
    plan, console = survey.plan, screen()
    length = seconds(float(plan.frames / plan.fps))
    title = f"{plan.title} ({plan.film}): {plan.frames} frames, {length} at {plan.fps} a second"
    table = Table()
    for name in ("shot", "clips", "frames", "seconds", "NFE", "cached", "render"):
        table.add_column(name, justify="left" if name == "shot" else "right", no_wrap=name == "shot")
    clips = _by_shot(survey)
    for shot in _rows(plan.shots, clips):
        table.add_row(*_row(shot, clips[shot.id], survey))
    console.print(Text(title, "bold"), soft_wrap=True)  # not the table's own, which breaks where the table ends
    console.print(table)
    if len(plan.shots) > MOST_ROWS:
        console.print(f"... {len(plan.shots) - MOST_ROWS} more shots; --json shows all")
    for shot in _rows(plan.shots, clips):
        for _, takes in groupby((c for c in clips[shot.id] if _told(c, survey)), lambda c: c.clip.slate.take):
            for line in _why(shot.id, list(takes)):
                console.print(line, soft_wrap=True)
    _notes(console, survey, recut)


def _told(clip: SurveyedClip, survey: Survey) -> bool:
    """Whether the plan has a word about this clip."""
    if clip.state == "cached":
        return bool(clip.clip.instead)
    return clip.clip.key not in survey.left


def _by_shot(survey: Survey) -> dict[str, list[SurveyedClip]]:
    clips: dict[str, list[SurveyedClip]] = {shot.id: [] for shot in survey.plan.shots}
    for clip in survey.clips:
        clips[clip.clip.slate.shot].append(clip)
    return clips


def _rows(shots: Sequence[PlannedShot], clips: dict[str, list[SurveyedClip]]) -> list[PlannedShot]:
    if len(shots) <= MOST_ROWS:
        return list(shots)
    changed = [shot for shot in shots if any(c.state == "render" for c in clips[shot.id])]
    chosen = {shot.id for shot in (changed + [s for s in shots if s not in changed][:MOST_ROWS])[:MOST_ROWS]}
    return [shot for shot in shots if shot.id in chosen]


def _row(shot: PlannedShot, clips: list[SurveyedClip], survey: Survey) -> list[str]:
    missing = [c for c in clips if c.state == "render" and c.clip.key not in survey.left]
    return [
        shot.id,
        str(len(clips)),
        str(shot.frames),
        f"{float(shot.frames / survey.plan.fps):.2f}",
        str(sum(survey.cost(c.clip) for c in missing)),
        str(sum(c.state == "cached" for c in clips)),
        str(len(missing)),
    ]


def _why(shot: str, clips: list[SurveyedClip]) -> list[str]:
    """A line for each clip, equal neighbours together: `dawn/1: prompt changed`, `dawn/2-6: clip 1 of this ...`."""
    groups: list[tuple[int, int, str]] = []
    for clip in clips:
        text, number = ", ".join(clip.why), clip.clip.slate.clip
        if groups and groups[-1][2] == text and groups[-1][1] == number - 1:
            groups[-1] = (groups[-1][0], number, text)
        else:
            groups.append((number, number, text))
    take = clips[0].clip.slate.take if clips else 1
    of = f" (take {take})" if take > 1 else ""
    return [f"{shot}/{a if a == b else f'{a}-{b}'}{of}: {text}" for a, b, text in groups]


def _notes(console: Console, survey: Survey, recut: bool) -> None:
    plan = survey.plan
    for shot in plan.shots[:MOST_ROWS]:
        for text in (shot.snapped, _beats(shot)):
            if text:
                console.print(f"{shot.id}: {text}", soft_wrap=True)
    for text in _bills(plan):
        console.print(text, soft_wrap=True)
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    if survey.left:
        are = "has no take and is" if len(survey.left) == 1 else "have no take and are"
        console.print(f"{counted(len(survey.left), 'more ')} {are} not selected", soft_wrap=True)
    count = len(survey.wanted)
    if not count:
        console.print("nothing to render" + ("; the film is to be cut again" if recut else ""))
        return
    time = "unknown" if survey.seconds is None else seconds(survey.seconds)
    disk = "unknown" if survey.bytes is None else size(survey.bytes)
    console.print(f"{counted(count)} to render: {survey.nfe} NFE, estimated time {time}, disk {disk}")


def _bills(plan: Plan) -> Iterator[str]:
    """What a clip costs, method by method, where it is not guidance alone: a line for shots of equal bills."""
    shots: dict[Bill, list[str]] = {}
    for shot in plan.shots:
        for costs in dict.fromkeys(clip.bill for clip in shot.clips if len(clip.bill) > 1):
            shots.setdefault(costs, []).append(shot.id)
    for costs, ids in shots.items():
        which = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
        parts = ", ".join(f"{count} {NAMES.get(name, name)}" for name, count in costs)
        yield f"{which}: {sum(count for _, count in costs)} NFE a clip: {parts}"


def _beats(shot: PlannedShot) -> str:
    """Which clips use which prompt, when a shot has several."""
    groups = [(prompt, list(clips)) for prompt, clips in groupby(shot.clips, lambda clip: clip.spec.prompt)]
    if len(groups) < 2:
        return ""
    return "; ".join(
        f"{_span(clips[0].slate.clip, clips[-1].slate.clip)}: {shorten(prompt, 80, placeholder='...')!r}"
        for prompt, clips in groups
    )


def _span(first: int, last: int) -> str:
    return f"clip {first}" if first == last else f"clips {first}-{last}"


def render_json(results: Sequence[FilmResult]) -> dict[str, Any]:
    """What `longtake render --json` prints."""
    films = [
        {
            "film": r.plan.film,
            "state": r.state,
            "rendered": r.rendered,
            "cached": r.cached,
            "files": r.files,
            "message": r.message,
            "seconds": round(r.seconds, 3),
        }
        for r in results
    ]
    return {"schema": "longtake.render.v1", "films": films}


def show_results(results: Sequence[FilmResult]) -> None:
    """How each film ended and where it lies."""
    console = screen()
    for result in results:
        what = f"{counted(result.rendered)} rendered, {result.cached} from the store, {seconds(result.seconds)}"
        console.print(f"{result.plan.film}: {result.state}: {what}", soft_wrap=True)
        for path in result.files:
            console.print(f"  {path}", soft_wrap=True)
        if result.message:
            console.print(f"  {result.message}", soft_wrap=True)
            sys.stderr.write(f"longtake status {result.plan.film} says how to go on\n")


def show_findings(findings: Sequence[Finding]) -> None:
    """What `longtake doctor` prints."""
    console = screen()
    table = Table.grid(padding=(0, 2))
    colours = {"ok": "green", "note": "yellow", "bad": "red"}
    for finding in findings:
        table.add_row(Text(finding.state, colours[finding.state]), finding.what, finding.says)
    console.print(table)


def counted(count: int, more: str = "") -> str:
    """`1 clip`, `2 clips`, `2 more clips`."""
    return f"{count} {more}clip" + ("" if count == 1 else "s")


def seconds(value: float) -> str:
    """`42.0 s`, `3 min 20 s`, `2 h 05 min`."""
    if value < 60:
        return f"{float(value):.1f} s"
    if value < 3600:
        return f"{int(value // 60)} min {int(value % 60):02d} s"
    return f"{int(value // 3600)} h {int(value % 3600 // 60):02d} min"


def size(count: float) -> str:
    """`3.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
