"""One film as a folder: what the ledger says of it as JSON, and its files. Another machine can go on with it.

    <folder>/longtake.json      rows of the ledger, table by table; `portable_rows` says which
    <folder>/files/             a store with the files that those rows name

Files come first and the JSON last, so a folder with a JSON is a whole one. An import checks every byte, stores the
files, and then adds the rows in one transaction. What the ledger has already stays as it is: an import that is
repeated adds nothing, and an accepted take is never replaced.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ExportInvalid, FileDamaged, FileMissing, StoreFull, StoreUnwritable
from .files import Files
from .ledger import Ledger
from .portable_rows import FORMAT, Rows, files_of
from .transfer import copy_file

NAME = "longtake.json"


@dataclass(frozen=True)
class Carried:
    """What an export or import carried. rows: table -> how many; files, bytes: copied ones. missing: id -> why not."""

    film: str
    rows: dict[str, int]
    files: int
    bytes: int
    missing: dict[str, str]


def export_film(ledger: Ledger, files: Files, film: str, folder: Path) -> Carried:
    """Write a film into an empty or new folder, or go on with an export that was ended early.

    Raises NotRecorded for an unknown film, ExportInvalid for a folder with something else in it, FilesError.
    """
    _check_folder(folder)
    rows = ledger.export_rows(film)
    copied, missing = 0, {}
    size = 0
    with closing(Files(folder / "files")) as target:
        for id in sorted(files_of(rows)):
            if target.verify(id):
                continue
            try:
                size += copy_file(files, target, id)
                copied += 1
            except (FileDamaged, FileMissing) as error:
                missing[id] = str(error)
        document = {"format": FORMAT, "film": film, "missing": sorted(missing), "tables": rows}
        text = json.dumps(document, sort_keys=True, indent=1)
        _write(folder / NAME, json.dumps({"sha256": _digest(text), "export": text}) + "\n")
    return Carried(film, {name: len(each) for name, each in rows.items()}, copied, size, missing)


def import_film(ledger: Ledger, files: Files, folder: Path) -> Carried:
    """Add an exported film to a ledger and a store.

    Raises ExportInvalid, FileDamaged, FileMissing, FilesError,
    FilmBusy while the film is rendered here.
    """
    document = read_export(folder)
    rows: Rows = document["tables"]
    absent = set(document["missing"])
    copied, size = 0, 0
    with closing(Files(folder / "files")) as source:
        wanted = sorted(files_of(rows) - absent)
        for id in wanted:
            source.open_verified(id)  # nothing is added when something is wrong
        there = files.present(wanted)
        for id in wanted:
            if id not in there or not files.verify(id):
                size += copy_file(source, files, id)
                copied += 1
    with ledger.claim_film(document["film"]):  # not while somebody renders it here
        added = ledger.import_rows(document["film"], rows, absent)
    return Carried(document["film"], added, copied, size, dict.fromkeys(sorted(absent), "not in the export"))


def read_export(folder: Path) -> dict[str, Any]:
    """What an exported folder says: `film`, `tables`, `missing`. Raises ExportInvalid."""
    path = folder / NAME
    try:
        outer = json.loads(path.read_text())
        text = outer["export"]
        if _digest(text) != outer["sha256"]:
            raise ExportInvalid(f"{path} has been altered since it was exported. Export the film again.")
        document: dict[str, Any] = json.loads(text)
    except FileNotFoundError:
        raise ExportInvalid(
            f"{folder} holds no {NAME}: it is no exported film, or its export did not come to an end. Name a folder "
            "that `longtake export` has written."
        ) from None
    except OSError as error:
        raise ExportInvalid(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ExportInvalid(f"{path} is not an export of longtake, or it is damaged. Export the film again.") from None
    if document.get("format") != FORMAT:
        raise ExportInvalid(
            f"{path} is of format {document.get('format')!r}; this longtake reads {FORMAT!r}. "
            "Import it with the version of longtake that exported it, or a newer one."
        )
    return document


def _check_folder(folder: Path) -> None:
    try:
        others = {path.name for path in folder.iterdir()} - {"files", "storyboard", NAME, f".{NAME}.part"}
    except FileNotFoundError:
        return
    except OSError as error:
        raise ExportInvalid(f"The film cannot be exported to {folder}: {error.strerror}. Name a folder.") from None
    if others:
        raise ExportInvalid(
            f"The film cannot be exported to {folder}: it holds {', '.join(sorted(others)[:3])} already. "
            "Name a new or an empty folder."
        )


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreUnwritable
        raise kind(
            f"{path} cannot be written: {error.strerror}. Make room or make the folder writable, and export again: "
            "what is copied stays."
        ) from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
