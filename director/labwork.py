"""What a film's last stage leaves to labs: functions of the store and one order, to be done on any machine or this one.

Pictures are decoded and encoded here and in `edit.make_film`, which is of the same kind, alone. Prints need the store
only, so that all labs make them; a film is put together, checked and shown on the machine that has its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shots.frames import Frames, iter_take, read_take
from shots.prints import PrintSpec, write_print
from storage.files import FileId, Files

from .planned import Plan, PlannedClip
from .seams import seam_strips
from .sheets import contact_sheet


@dataclass(frozen=True)
class PrintOrder:
    """A print of a take. kept: the stored file of one made before, which will do if it is whole."""

    take: FileId
    spec: PrintSpec
    kept: FileId | None = None


@dataclass(frozen=True)
class SheetsOrder:
    """Contact sheet and seam strips of a plan whose clips have these takes (key -> video)."""

    plan: Plan
    videos: Mapping[str, FileId]
    contact: Path
    seams: Path
    shows: str


def print_take(files: Files, order: PrintOrder) -> tuple[FileId, int]:
    """The stored print and its size in bytes; made, unless there is one whole.

    Raises:
        VideoUnreadable, StorageError: the take is missing or damaged. PrintRefused: see `PrintSpec.check`.
    """
    if order.kept is not None and files.verify(order.kept):
        return order.kept, files.size(order.kept)
    with files.scratch() as folder:
        path = folder / f"print{order.spec.suffix}"
        write_print(path, iter_take(files.open_verified(order.take)), order.spec)
        size = path.stat().st_size
        return files.put_file(path), size


def draw_sheets(files: Files, order: SheetsOrder) -> None:
    """Both sheets, from the takes' own frames. Raises OSError, VideoUnreadable, StorageError."""

    def frames(clip: PlannedClip) -> Frames:
        return read_take(files.open_verified(order.videos[clip.key]))

    contact_sheet(order.plan, frames, order.contact, order.shows)
    seam_strips(order.plan, frames, order.seams, order.shows)
