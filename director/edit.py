"""From a cut list to a film: prints made or found, windows rendered, everything spliced, sound laid, result checked."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
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


class TakeFiles(Protocol):
    """Where takes lie; `storage.Files` is one."""

    def open_verified(self, id: str) -> Path:
        """Path of a file whose bytes have been checked against its id."""


class PrintCache(Protocol):
    """Prints made before, by take file and `PrintSpec.key`."""

    def get(self, take: str, key: str) -> Path | None:
        """The print's file, if there is one whole."""

    def put(self, take: str, key: str, file: Path) -> Path:
        """Keep `file`, which may be moved; returns where it lies from now on."""


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


def assemble(
    cut: CutList,
    takes: TakeFiles,
    prints: PrintCache,
    deliver: Deliver,
    out: Path,
    tags: dict[str, str] | None = None,
    base: Path = Path("."),
    on_step: Callable[[int, int], None] | None = None,
    check: bool = True,
    guard: AbstractContextManager[None] | None = None,
) -> FilmFile:
    """Make the film of `cut` at `out`, as `deliver` says. The file appears whole or not at all.

    tags: embedded in the file, read back by `shots.frames.probe`. base: folder of the cut's sounds and fonts.
    on_step: told the elements made and their number; what it raises ends the work, and leaves nothing behind.
    check: decode the film and compare each frame with what it was copied from. guard: entered for the moment in which
    the film gets its name, and may refuse.

    Raises:
        OutputUnwritable: see `check_output`.
        PrintRefused: size or codec cannot be.
        SoundUnreadable, FontUnreadable: a file is missing or broken.
        FilmWrong: the result is not what the cut says.
        VideoUnreadable, StorageError: a take is missing or damaged.
    """
    print_spec(cut.fps, deliver).check()
    with workbench(out, guard) as bench:
        return put_together(cut, takes, prints, deliver, out, bench, tags, base, on_step, check)


def put_together(
    cut: CutList,
    takes: TakeFiles,
    prints: PrintCache,
    deliver: Deliver,
    out: Path,
    bench: Path,
    tags: dict[str, str] | None = None,
    base: Path = Path("."),
    on_step: Callable[[int, int], None] | None = None,
    check: bool = True,
) -> FilmFile:
    """All of `assemble` but for the film's name: it is left in the folder `bench` for `workbench` to publish."""
    spec = print_spec(cut.fps, deliver)
    part = bench / out.name
    runs = list(_runs(cut, takes, prints, spec, bench, base, on_step))
    sound = film_sound(cut, base, CODECS[spec.codec].sound, bench)
    frames = splice(runs, part, spec, tags, sound)
    if frames != cut.frames:
        raise FilmWrong(f"{out} came out with {frames} frames, and its cut has {cut.frames}: please report it")
    if check:
        check_spliced(runs, part, spec)
    digest, size = _digest(part)
    flush(part)  # before the guard, behind which others may wait
    return FilmFile(out, frames, cut.fps, deliver.size, deliver.codec, size, digest)


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


def _runs(
    cut: CutList,
    takes: TakeFiles,
    prints: PrintCache,
    spec: PrintSpec,
    scratch: Path,
    base: Path,
    on_step: Callable[[int, int], None] | None,
) -> Iterator[Run]:
    """What to splice, in film order; prints and windows that are not there yet are made."""

    def read(part: Part) -> Iterator[Frames]:
        return iter_take(takes.open_verified(part.take), part.first, part.frames)

    made: dict[str, Path] = {}
    for number, element in enumerate(cut.elements):
        if isinstance(element, Body):
            if element.take not in made:
                made[element.take] = _print(element.take, takes, prints, spec, scratch)
            yield Run(made[element.take], element.first, element.frames)
        else:
            path = scratch / f"window-{number}{spec.suffix}"
            yield Run(path, 0, write_print(path, window_pictures(element, read, spec, base), spec))
        if on_step is not None:
            on_step(number + 1, len(cut.elements))


def _print(take: str, takes: TakeFiles, prints: PrintCache, spec: PrintSpec, scratch: Path) -> Path:
    """The print of a whole take, found or made."""
    kept = prints.get(take, spec.key)
    if kept is not None:
        return kept
    path = scratch / f"print{spec.suffix}"
    write_print(path, iter_take(takes.open_verified(take)), spec)
    return prints.put(take, spec.key, path)


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
