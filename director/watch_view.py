"""The view of `longtake watch`: for a terminal that is drawn anew, and as plain text."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.style import Style
from rich.table import Table
from rich.text import Text

from .report import seconds
from .stop import Stopped

MOST_SHOTS = 12
"""Shots of a film that are shown; those that somebody works on, and held ones, come first."""
MOST_CAMERAS = 24
MOST_PICTURES = 2
"""Films that are shown with their last frame; more of them would fill the screen."""
BAR = 24
WIDE, TALL = 36, 10
"""Characters of the little picture at most, beside and above each other."""
COLOURS = {"done": "green", "rendering": "cyan", "cutting": "cyan", "running": "cyan", "submitted": "cyan"}


def view(document: dict[str, Any], pictures: dict[str, Any] | None = None) -> RenderableType:
    """Everything of a document of `watch`, to be printed. pictures: film -> its last frame, as an image."""
    parts: list[RenderableType] = []
    for run in document["runs"]:
        parts += _run(run)
    for film in document["films"]:
        parts += _film(film, document["time"])
        if pictures and pictures.get(film["film"]) is not None:
            parts.append(half_blocks(pictures[film["film"]]))
    parts += _cameras(document)
    for host, reason in document["aside"].items():
        parts.append(Text(f"node {host} is set aside: {reason}", "yellow"))
    if not document["films"] and not document["runs"]:
        parts.append(Text("nothing has been rendered here yet: longtake render film.yaml, then watch it from here"))
    return Group(*parts)


def follow(
    console: Console, look: Callable[[], dict[str, Any]], picture: Callable[[dict[str, Any]], Any], every: float
) -> None:
    """Show a new view every few seconds, until nothing is being rendered any more or somebody presses Ctrl-C."""
    colours = console.is_terminal and console.color_system in ("truecolor", "256") and console.encoding == "utf-8"
    seen: dict[str, tuple[str, Any]] = {}

    def draw() -> tuple[dict[str, Any], RenderableType]:
        document = look()
        for film in document["films"][:MOST_PICTURES] if colours else []:
            video = film["last"]["video"] if film["last"] else ""
            if seen.get(film["film"], ("", None))[0] != video:
                seen[film["film"]] = video, picture(film)
        return document, view(document, {name: image for name, (_, image) in seen.items()})

    with contextlib.suppress(Stopped):  # Ctrl-C is how one stops watching
        document, shown = draw()
        if not console.is_terminal:
            console.print(shown, soft_wrap=True)
            while document["running"]:
                time.sleep(every)
                document, shown = draw()
                console.print(shown, soft_wrap=True)
            return
        with Live(shown, console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while document["running"]:
                time.sleep(every)
                document, shown = draw()
                live.update(shown, refresh=True)


def half_blocks(image: Any, wide: int = WIDE, tall: int = TALL) -> Text:
    """A picture in characters: each shows two pixels, one above the other, so that each pixel is nearly square."""
    width, height = image.size
    wide = max(1, min(wide, round(2 * tall * width / height)))
    rows = max(1, round(wide * height / width / 2))
    small = image.convert("RGB").resize((wide, 2 * rows))
    text = Text("  ")
    for row in range(rows):
        for column in range(wide):
            above, below = small.getpixel((column, 2 * row)), small.getpixel((column, 2 * row + 1))
            text.append(
                "▀", Style(color="#{:02x}{:02x}{:02x}".format(*above), bgcolor="#{:02x}{:02x}{:02x}".format(*below))
            )
        text.append("\n  " if row + 1 < rows else "")
    return text


def _run(run: dict[str, Any]) -> Iterable[Text]:
    text = Text.assemble("run ", (run["run"], "bold"), " ", (run["state"], COLOURS.get(run["state"], "yellow")))
    text.append(f" {', '.join(run['films'])}")
    if run["wish"]:
        text.append(f"  ({run['wish']} is asked for)", "yellow")
    if run["message"]:
        text.append(f"  {run['message']}")
    if run["state"] == "running" and (run["silent"] or 0.0) > 20:
        text.append(f"  its driver was last heard of {seconds(run['silent'])} ago", "yellow")
    yield text


def _film(film: dict[str, Any], now: float) -> Iterable[RenderableType]:
    state = film["state"]
    yield Text.assemble(
        (film["film"], "bold"), " ", (state, COLOURS.get(state, "yellow")), " ", (film["title"], "italic"),
        f"  {film['done']}/{film['clips']} clips",
    )  # fmt: skip
    line = f"  {bar(film['percent'] / 100)} {film['percent']:.1f}%"
    if film["frames_per_second"]:
        line += f"  {film['frames_per_second']:.2f} frames/s"
    yield Text(line)
    yield from _times(film)
    if film["running_on"] and film["heard"] is None:
        yield Text(f"  rendering on {film['running_on']}; it has not said yet what it does", "yellow")
    elif film["running_on"] and film["heard"] > 20:
        yield Text(f"  {film['running_on']} was last heard of {seconds(film['heard'])} ago", "yellow")
    yield from _shots(film)
    if film["last"]:
        ago = seconds(max(0.0, now - film["last"]["at"]))
        yield Text(f"  last: {film['last']['name']}, {film['last']['frames']} frames, {ago} ago")
    if film["message"] and film["state"] != "done":
        yield Text(f"  {film['message']}")


def _times(film: dict[str, Any]) -> Iterable[Text]:
    if film["running_on"] and film["done"] < film["clips"]:
        if film["eta_p50"] is None:
            yield Text("  time left: unknown, no clip of this model and size has been measured yet")
        else:
            late = f", nine times of ten at most {seconds(film['eta_p90'])}" if film["eta_p90"] is not None else ""
            yield Text(f"  time left: about {seconds(film['eta_p50'])}{late}")
    kind = "GPU" if (film["device"] or "").startswith("cuda") else "camera"
    spent = f"  {kind} time: {seconds(film['seconds_spent'])} spent"
    if film["done"] < film["clips"]:
        left = film["seconds_left"]
        spent += ", unknown left" if left is None else f", about {seconds(left)} left"
    yield Text(spent)


def _shots(film: dict[str, Any]) -> Iterable[RenderableType]:
    """A row a chain: done, and what is done of it now."""
    busy = [s for s in film["shots"] if s["work"] or s["held"]]
    open_ones = [s for s in film["shots"] if s not in busy and s["done"] < s["clips"]]
    chosen = (busy + open_ones)[:MOST_SHOTS]
    table = Table.grid(padding=(0, 2))
    for shot in film["shots"]:
        if shot not in chosen:
            continue
        state = "; ".join(_work(w) for w in shot["work"]) or ("held" if shot["held"] else "waiting")
        table.add_row(
            f"  {shot['shot']}",
            bar(shot["done"] / shot["clips"], 12),
            f"{shot['done']}/{shot['clips']}",
            Text(f"held: {shot['held']}", "red") if shot["held"] else Text(state),
        )
    if chosen:
        yield table
    if more := len(busy) + len(open_ones) - len(chosen):
        yield Text(f"  and {more} more shots")


def _work(work: dict[str, Any]) -> str:
    clips = f"clip {work['first']}" if work["first"] == work["last"] else f"clips {work['first']}-{work['last']}"
    doing = f"step {work['step']}/{work['steps']}" if work["doing"] == "sampling" else work["doing"]
    return f"{clips}: {doing} on {work['camera']}"


def _cameras(document: dict[str, Any]) -> Iterable[RenderableType]:
    if not document["cameras"]:
        return
    yield Text("cameras", "bold")
    table = Table.grid(padding=(0, 2))
    ordered = sorted(document["cameras"], key=lambda camera: camera["doing"] == "waiting")
    for camera in ordered[:MOST_CAMERAS]:
        since = seconds(max(0.0, document["time"] - camera["since"]))
        table.add_row(f"  {camera['name']}", camera["host"], camera["device"], camera["doing"], since)
    yield table
    if more := ordered[MOST_CAMERAS:]:
        waiting = sum(camera["doing"] == "waiting" for camera in more)
        yield Text(f"  and {len(more)} more, {waiting} of them waiting")


def bar(share: float, wide: int = BAR) -> str:
    """`━━━━────`."""
    full = max(0, min(wide, int(share * wide + 1e-9)))
    return "━" * full + "─" * (wide - full)
