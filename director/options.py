"""Arguments and options that several commands share, and the one way to give out what a command found."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

Found = TypeVar("Found")

Storyboards = Annotated[list[str], typer.Argument(help="Storyboard files or globs.", metavar="STORYBOARD")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder for ledger and files (LONGTAKE_DIR). Default: .longtake")
]
Films = Annotated[
    Path | None, typer.Option("--films", help="Folder for finished films (LONGTAKE_FILMS). Default: films")
]
Db = Annotated[
    str | None, typer.Option("--db", help="Database URL instead of SQLite in the data folder (LONGTAKE_DB_URL).")
]
Shots = Annotated[
    list[str] | None, typer.Option("--shot", metavar="SELECTOR", help="Only these: SHOT, SHOT/CLIP or FIRST..LAST.")
]
From = Annotated[str | None, typer.Option("--from", metavar="SELECTOR", help="Only from this shot or clip on.")]
Until = Annotated[str | None, typer.Option("--until", metavar="SELECTOR", help="Only up to this shot or clip.")]
Priority = Annotated[
    int | None, typer.Option("--priority", min=-1000, max=1000, help="Higher goes first; replaces the storyboard's.")
]
Deadline = Annotated[
    str | None, typer.Option("--deadline", help='"07:00" or "2026-12-24 18:00"; replaces the storyboard\'s.')
]
GpuHours = Annotated[
    float | None,
    typer.Option("--gpu-hours", min=1e-9, help="Camera hours a film may cost in all; replaces the storyboard's."),
]
Failed = Annotated[bool, typer.Option("--failed", help="Only clips that failed before.")]
AcceptStale = Annotated[
    list[str] | None,
    typer.Option("--accept-stale", metavar="SELECTOR", help="For these, an earlier take will do, this once."),
]
Stale = Annotated[bool, typer.Option("--stale", help="Only clips that an edit has made stale.")]
On = Annotated[str, typer.Option("--on", help="`local`: this process. `ray`: RAY_ADDRESS, or a local Ray.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 ...")]
Lockstep = Annotated[int, typer.Option("--lockstep", min=1, help="Clips denoised together at most.")]
RetryHeld = Annotated[bool, typer.Option("--retry-held", help="Try held shots again.")]
CheckpointEvery = Annotated[
    str,
    typer.Option(
        "--checkpoint-every",
        metavar="N",
        help="What a crash may cost of the sampling: seconds (`30`), or steps (`8 steps`); 0: a whole clip.",
    ),
]
DecodeBeside = Annotated[
    str,
    typer.Option(
        "--decode-beside",
        metavar="auto|on|off",
        help="Decode clips while the next are sampled; auto: on CUDA, where everything fits in memory.",
    ),
]
Metrics = Annotated[
    int | None, typer.Option("--metrics", min=1, max=65535, help="Port for Prometheus, on this machine only.")
]
Hook = Annotated[
    list[str] | None,
    typer.Option(
        "--hook",
        metavar="EVENT=TARGET",
        help="Tell a web address, or run a command, when that happens (LONGTAKE_HOOKS: one a line).",
    ),
]
Webhooks = Annotated[bool, typer.Option("--webhooks/--no-webhooks", help="Tell the web addresses of storyboards.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Clips = Annotated[
    list[str],
    typer.Argument(help="SHOT, SHOT/CLIP or FIRST..LAST; FILM: before it where there are several.", metavar="SELECTOR"),
]


def _cameras(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise typer.BadParameter(f"{text!r} is neither `auto` nor a number from 1 on")
    return int(text)


def _gpus(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        gpus = float(text)
    except ValueError:
        gpus = -1.0
    if not (0 <= gpus <= 1 or (gpus <= 64 and gpus == int(gpus))):
        raise typer.BadParameter(f"{text!r} is neither `auto`, nor a part of one GPU, nor a whole number of them")
    return gpus


Cameras = Annotated[
    int | None,
    typer.Option(
        "--cameras", parser=_cameras, metavar="auto|N", help="Ray: cameras at most; auto: as work and room ask for."
    ),
]
GpusPerCamera = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-camera",
        parser=_gpus,
        metavar="auto|X",
        help="Ray: GPUs of one camera, 0.5 for two on each; 0: CPU cores; auto: one where there are any.",
    ),
]


def print_json(document: Any) -> None:
    """One document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def say(found: Found, as_json: bool, show: Callable[[Found], None]) -> None:
    """What a command found: one document for a program, or as `show` draws it for a person."""
    if as_json:
        print_json(found)
    else:
        show(found)
