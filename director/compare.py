"""Two takes or two films, side by side: what was asked for, what made them, and whether the pictures are equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .changes import changes
from .errors import UsageError
from .lineage import find
from .provenance import clips_of
from .redaction import redacted
from .session import Session
from .streams import screen

Document = dict[str, Any]


def compare(session: Session, a: str, b: str, redact: list[str] | None = None) -> Document:
    """The document behind `longtake diff`. a, b: whatever `longtake lineage` takes.

    Raises:
        UsageError: not found, or a film against a clip.
    """
    both = redacted([find(a, session), find(b, session)], redact or [])
    films = [document["kind"] == "longtake.film" for document in both]
    if films[0] != films[1]:
        names = ["a film" if film else "a clip" for film in films]
        raise UsageError(f"{a!r} is {names[0]} and {b!r} is {names[1]}; compare a film with a film, or FILM:SHOT/CLIP")
    body = _films(*both) if films[0] else {"clips": [_clips(*(clips_of(document)[0] for document in both))]}
    document: Document = {"schema": "longtake.diff.v1", "a": a, "b": b, "film": [], "only_a": [], "only_b": []} | body
    document["equal"] = not (document["film"] or document["only_a"] or document["only_b"]) and all(
        clip["pictures"] == "equal" and not clip["changes"] for clip in document["clips"]
    )
    return document


def _films(a: Document, b: Document) -> Document:
    places = [{_place(clip): clip for clip in clips_of(document)} for document in (a, b)]
    return {
        "film": [f"{name}: {a.get(name)} -> {b.get(name)}" for name in ("title", "fps", "frames") if a[name] != b[name]]
        + [*_files(a, b, "sound"), *_files(a, b, "font")],
        "only_a": [place for place in places[0] if place not in places[1]],
        "only_b": [place for place in places[1] if place not in places[0]],
        "clips": [_clips(clip, places[1][place]) for place, clip in places[0].items() if place in places[1]],
    }


def _files(a: Document, b: Document, kind: str) -> Iterator[str]:
    """What is not the same file in both: sounds, or the titles' fonts."""
    old, new = (document.get(f"{kind}s", {}) for document in (a, b))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            before, after = (files.get(name, "none")[:16] for files in (old, new))
            yield f"{kind} {name}: {before} -> {after}"


def _place(clip: Document) -> str:
    return f"{clip['slate']['shot']}/{clip['slate']['clip']}"


def _clips(a: Document, b: Document) -> Document:
    digests = [clip.get("frames_digest") for clip in (a, b)]
    pictures = "unknown" if None in digests else "equal" if digests[0] == digests[1] else "different"
    lines = changes(a["spec"], b["spec"], whole=True)
    if a["key"] != b["key"] and not lines:
        lines = ["nothing but what it continues"]
    return {
        "place": _place(a) if a.get("slate") else "",
        "keys": [a["key"], b["key"]],
        "pictures": pictures,
        "changes": lines,
        "made": list(made_differently(a, b)),
    }


def made_differently(a: Document, b: Document) -> Iterator[str]:
    """What two clips were made with, where it is not the same. Not when, nor by whom: these decide no pixels."""
    if a.get("code_version") != b.get("code_version"):
        yield f"code {a.get('code_version')} -> {b.get('code_version')}"
    before, after = (clip.get("environment") or {} for clip in (a, b))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name) and name not in ("worker", "models"):
            yield f"{name} {before.get(name, 'none')} -> {after.get(name, 'none')}"


def show_diff(document: Document) -> None:
    """The same for a person."""
    console = screen()
    for line in document["film"]:
        console.print(line, soft_wrap=True)
    for side, sign in (("only_a", "-"), ("only_b", "+")):
        for place in document[side]:
            console.print(f"{sign} {place}", soft_wrap=True)
    same = [clip for clip in document["clips"] if clip["pictures"] == "equal" and not clip["changes"]]
    for clip in document["clips"]:
        if clip in same:
            continue
        console.print(f"{clip['place'] or 'clip'}: pictures {clip['pictures']}", soft_wrap=True)
        for line in clip["changes"]:
            console.print(f"  {line}", soft_wrap=True)
    for line in dict.fromkeys(line for clip in document["clips"] for line in clip["made"]):
        console.print(f"made with: {line}", soft_wrap=True)
    rest = f"{len(same)} of {len(document['clips'])} clips are equal" if document["clips"] else "no clip is in both"
    console.print("equal" if document["equal"] else rest)
