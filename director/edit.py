"""From a cut list and prints to a film: windows rendered, everything spliced, sound laid, result checked."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from shots.codecs import CODECS
from shots.frames import Frames, iter_take
from shots.prints import PrintSpec, write_print

from .cutlist import Body, CutList, Part
from .errors import FilmWrong, OutputUnwritable
from .planned import Deliver
from .sound import film_sound
from .splice import Run, check_spliced, flush, publish, splice
from .windows import window_pictures

log = logging.getLogger("longtake.edit")


class StoredFiles(Protocol):
    """Where takes and prints lie; `storage.files.Files` is one."""

    def open_verified(self, id: str) -> Path:
        """Path of a file whose bytes have been checked against its id."""


@dataclass(frozen=True)
class FilmOrder:
    """A film to be made, on whichever machine has its folder.

    prints: take -> stored print, of every take that the cut copies from. out: where it will be published; it is left in
    the folder `bench` under that name. tags: embedded in the file, read back by `shots.frames.probe`. base: folder of
    the cut's sounds and fonts.
    """

    cut: CutList
    prints: Mapping[str, str]
    deliver: Deliver
    out: Path
    bench: Path
    tags: Mapping[str, str]
    base: Path


@dataclass(frozen=True)
class FilmFile:
    """A finished film. `digest`: sha256 (64 hex digits) of the file."""

    path: Path
    frames: int
    fps: Fraction
    size: tuple[int, int]
    codec: str
    bytes: int
    digest: str


def film_path(folder: Path, deliver: Deliver) -> Path:
    """Where a delivery goes: its name, with the codec's suffix unless it has it."""
    return folder / CODECS[deliver.codec].named(deliver.name)


def print_spec(cut_fps: Fraction, deliver: Deliver) -> PrintSpec:
    """The one spec of all prints and windows of a delivery."""
    return PrintSpec(*deliver.size, cut_fps, deliver.codec, deliver.scaler)


def check_output(path: Path) -> None:
    """Find out whether a film can be written at `path`, by writing beside it; leaves nothing behind.

    Raises:
        OutputUnwritable: it cannot, and why.
    """
    if path.is_dir():
        raise OutputUnwritable(
            f"the film cannot be written to {path}: that is a folder; give the delivery another name"
        )
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise OutputUnwritable(
            f"the film cannot be written to {path}: {folder}: {error.strerror}; choose another folder or mend this one"
        ) from None


def make_film(files: StoredFiles, order: FilmOrder) -> FilmFile:
    """Splice a film, lay its sound and compare each of its frames with what it was copied from. It is left in the
    order's bench, for `workbench` to publish.

    Raises:
        SoundUnreadable, FontUnreadable: a file is missing or broken.
        FilmWrong: the result is not what the cut says.
        VideoUnreadable, StorageError: a take or print is missing or damaged.
    """
    cut, out = order.cut, order.out
    spec = print_spec(cut.fps, order.deliver)
    part = order.bench / out.name
    runs = list(_runs(files, order, spec))
    sound = film_sound(cut, order.base, CODECS[spec.codec].sound, order.bench)
    frames = splice(runs, part, spec, dict(order.tags), sound)
    if frames != cut.frames:
        raise FilmWrong(f"{out} came out with {frames} frames, and its cut has {cut.frames}: please report it")
    check_spliced(runs, part, spec)
    digest, size = _digest(part)
    flush(part)  # before the guard of the bench, behind which others may wait
    return FilmFile(out, frames, cut.fps, order.deliver.size, order.deliver.codec, size, digest)


@contextmanager
def workbench(out: Path, guard: AbstractContextManager[None] | None = None) -> Iterator[Path]:
    """A hidden folder beside the film: same disk, so that the finished file needs no copy. Its name is the film's
    own, so what a killed cut has left there is swept by the next one. At the end the film that was put into it gets
    its name; `guard` is entered for that moment.

    Raises:
        OutputUnwritable: see `check_output`; or the disk is full, or fails.
    """
    check_output(out)
    bench = out.with_name(f".{out.name}.cut")
    shutil.rmtree(bench, ignore_errors=True)
    try:
        bench.mkdir(parents=True)
        yield bench
        with guard or nullcontext():
            publish(bench / out.name, out)
        log.info("wrote %s: %d bytes", out, out.stat().st_size)
    except OSError as error:
        # What cannot be read has errors of its own by now; what is left is a full or failing disk.
        raise OutputUnwritable(
            f"{out} could not be written: {error.strerror or error}; make room or choose another folder, then run the "
            "same command again: finished clips are kept"
        ) from error
    finally:
        shutil.rmtree(bench, ignore_errors=True)


def _runs(files: StoredFiles, order: FilmOrder, spec: PrintSpec) -> Iterator[Run]:
    """What to splice, in film order; windows are made here."""

    def read(part: Part) -> Iterator[Frames]:
        return iter_take(files.open_verified(part.take), part.first, part.frames)

    bodies = {element.take for element in order.cut.elements if isinstance(element, Body)}
    prints = {take: files.open_verified(order.prints[take]) for take in sorted(bodies)}
    for number, element in enumerate(order.cut.elements):
        if isinstance(element, Body):
            yield Run(prints[element.take], element.first, element.frames)
        else:
            path = order.bench / f"window-{number}{spec.suffix}"
            yield Run(path, 0, write_print(path, window_pictures(element, read, spec, order.base), spec))


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
