"""Storyboards and all that they name, as one file: what a driver on another machine needs to render them.

    package.json     what follows, with the path of each file from its storyboard's folder
    0, 1, 2 ...      the bytes: storyboards, sounds, fonts, start images

Names stand in the JSON only, so no file name, however odd, is ever a path in the archive. Models are not packed: they
are gigabytes, and every node has to have them. A model folder that the storyboard names relative to itself becomes a
link to where it lies, which must be the same place on every node. Equal storyboards give an equal package.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from storage.files import FileId, Files

from .errors import PackageInvalid, UsageError
from .lettering import font_files
from .planned import Plan, PlannedClip
from .soundmarks import sound_files

FORMAT = "longtake.package.v1"
INDEX = "package.json"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


@dataclass
class Contents:
    """What goes into a package. `boards`: paths in it, in the order given. `files`: path in it -> path here.
    `links`: path in it -> a model's place, which all nodes must see. `models`: all such places."""

    boards: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    models: set[Path] = field(default_factory=set)


def contents(plans: Sequence[Plan]) -> Contents:
    """What a package of these plans would hold. Storyboards of one folder share a folder in it.

    Raises:
        UsageError: a model's folder is named by a way out of the storyboard's folder.
    """
    found = Contents()
    folders = list(dict.fromkeys(plan.base for plan in plans))
    for plan in plans:
        room = str(folders.index(plan.base) + 1)
        board = f"{room}/{plan.storyboard.name}"
        found.boards.append(board)
        found.files[board] = plan.storyboard
        for name, path in (sound_files(plan) | font_files(plan)).items():
            found.files[f"{room}/{_posix(name)}"] = path
        for name, path in _pictures(plan):
            found.files[f"{room}/{_posix(name)}"] = path
        found.models |= _models(plan)
        found.links |= {f"{room}/{name}": place for name, place in _links(plan)}
    return found


def pack(found: Contents, files: Files) -> FileId:
    """Store the package; its id. Raises UsageError for a file that cannot be read, FilesError."""
    names = sorted(found.files)
    with files.scratch() as folder:
        path = folder / "package.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            listed = [{"name": name, "bytes": _add(archive, str(n), found.files[name])} for n, name in enumerate(names)]
            index = {"format": FORMAT, "boards": found.boards, "files": listed, "links": found.links}
            archive.writestr(zipfile.ZipInfo(INDEX, _LONG_AGO), json.dumps(index, sort_keys=True))
        return files.put_file(path, ".zip")


def unpack(path: Path, folder: Path) -> list[Path]:
    """Write what a package holds into `folder`, over what is there; the storyboards, in the order they were given.

    Raises:
        PackageInvalid: no package, one of another version, or one that would write elsewhere.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            index = json.loads(archive.read(INDEX))
            if index["format"] != FORMAT:
                raise PackageInvalid(
                    f"{path} is a package of format {index['format']!r}; this longtake reads {FORMAT!r}. "
                    "Submit the storyboards again with the version that runs on the cluster."
                )
            for number, each in enumerate(index["files"]):
                _write(archive, str(number), _inside(folder, each["name"]), each["bytes"])
            for name, place in index["links"].items():
                _link(_inside(folder, name), place)
            return [_inside(folder, name) for name in index["boards"]]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, AttributeError) as error:
        raise PackageInvalid(f"{path} is no package of longtake ({error}). Submit the storyboards again.") from None


def _posix(name: str) -> str:
    return PurePosixPath(Path(name)).as_posix()


def everything(plan: Plan) -> Iterator[PlannedClip]:
    """All clips that a plan may come to render: those of the film, drafts, and other takes."""
    for shot in plan.shots:
        for chain in (shot.clips, shot.draft, *shot.others):
            yield from chain


def _pictures(plan: Plan) -> Iterator[tuple[str, Path]]:
    """Start images by the name that the storyboard has for them."""
    wanted = {Path(clip.spec.image.path) for clip in everything(plan) if clip.spec.image}
    for text in _strings(plan):
        path = plan.base / text
        if wanted and _resolved(path) in wanted:
            yield os.path.normpath(text), path


def _models(plan: Plan) -> set[Path]:
    """Models and LoRAs that are folders or files here, not names that every node looks up by itself."""
    refs = {ref for clip in everything(plan) for ref in clip.spec.models}
    named = {ref.id for ref in refs} | {lora.id for ref in refs for lora in ref.loras}
    return {Path(name) for name in named if os.path.isabs(name)}


def _links(plan: Plan) -> Iterator[tuple[str, str]]:
    models = _models(plan)
    for text in _strings(plan) if models else ():
        path = _resolved(plan.base / text)
        if path not in models or text.startswith(("/", "~")):
            continue
        name = os.path.normpath(text)
        if name == ".." or name.startswith("../"):
            raise UsageError(
                f"{plan.storyboard} names the model {text!r}, which lies outside of its folder and so would not be "
                f"found on the cluster; write its path in full: {path}"
            )
        yield _posix(name), str(path)


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a text that is no name of a file
        return None


def _strings(plan: Plan) -> list[str]:
    """Every text of the storyboard that may be a path, in order."""
    from .source import read

    found: dict[str, None] = {}
    waiting: list[Any] = [read(plan.storyboard).data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and 0 < len(value) <= 1000 and "\0" not in value and "\n" not in value:
            found[value] = None
    return sorted(found)


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> int:
    try:
        size = path.stat().st_size
        with path.open("rb") as source, archive.open(zipfile.ZipInfo(name, _LONG_AGO), "w", force_zip64=True) as to:
            while piece := source.read(1 << 20):
                to.write(piece)
        return size
    except OSError as error:
        raise UsageError(f"{path} cannot be packed: {error.strerror or error}; make it readable") from None


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise ValueError(f"it names {name!r}")
    return folder.joinpath(*parts)


def _write(archive: zipfile.ZipFile, number: str, to: Path, size: int) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)  # never through a link that an earlier run has put there
    if archive.getinfo(number).file_size != size:
        raise ValueError(f"{to.name} is not {size} bytes long")
    with archive.open(number) as source, to.open("xb") as stream:
        while piece := source.read(1 << 20):
            stream.write(piece)


def _link(at: Path, place: str) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.unlink(missing_ok=True)
    at.symlink_to(place)
