"""Arguments and options that several commands share, and the one way to print a document."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

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
Failed = Annotated[bool, typer.Option("--failed", help="Only clips that failed before.")]
AcceptStale = Annotated[
    list[str] | None,
    typer.Option("--accept-stale", metavar="SELECTOR", help="For these, an earlier take will do, this once."),
]
Stale = Annotated[bool, typer.Option("--stale", help="Only clips that an edit has made stale.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Clips = Annotated[
    list[str],
    typer.Argument(help="SHOT, SHOT/CLIP or FIRST..LAST; FILM: before it where there are several.", metavar="SELECTOR"),
]


def print_json(document: Any) -> None:
    """One document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
