"""Files named by what is in them: whole or not there, never changed, and found out when altered.

    <root>/ab/sha256-ab12....mkv     read-only; the name is the sha256 of the bytes, and a suffix for people and players
    <root>/tmp/<owner>/              what is being written; removed when its owner is dead

Writing: a temporary name on the same disk, fsync, rename, fsync of the folder. So a name appears with all its bytes,
and whoever finds a name after a power cut finds the bytes. Reading: the bytes are hashed the first time a process
opens a file, and again when the file's size, time or inode has changed since.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .checkpoints import Checkpoints
from .errors import FileDamaged, FileIdInvalid, FileMissing, FilesError, StoreFull, StoreUnwritable
from .scratch import Scratch

FileId = str  # "sha256-<64 hex digits>" and a suffix, such as ".mkv"

FEW = 8
"""Files of a folder that are asked for one by one; of more, the folder is listed once."""
ASIDE = "damaged"
"""Folder in the store for what has been set aside."""
_ID = re.compile(r"sha256-([0-9a-f]{64})(\.[a-z0-9]{1,16})?")
_SUFFIX = re.compile(r"(\.[a-z0-9]{1,16})?")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored file. `changed_at`: seconds since the epoch by the store's clock."""

    bytes: int
    changed_at: float


class Files:
    """The store at `root`. Nothing is made until the first write. May be shared by threads, pickled, and forked."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self._scratch = Scratch(self.root / "tmp")
        self._verified: dict[FileId, tuple[int, int, int]] = {}

    def __repr__(self) -> str:
        return f"Files({str(self.root)!r})"

    def __reduce__(self) -> tuple[type[Files], tuple[Path]]:
        return Files, (self.root,)

    @property
    def checkpoints(self) -> Checkpoints:
        """What half-made clips need to go on."""
        return Checkpoints(self.root)

    def close(self) -> None:
        """Remove this process's temporary folder."""
        self._scratch.close()

    def put_bytes(self, data: bytes, suffix: str = "") -> FileId:
        """Store `data`. Raises StoreFull, StoreUnwritable."""
        with self.scratch() as folder, self._told("write"):
            new = folder / "bytes"
            new.write_bytes(data)
            return self._adopt(new, suffix)

    def put_file(self, path: Path, suffix: str | None = None, keep: bool = False) -> FileId:
        """Store a finished file, which moves into the store unless `keep`. The suffix is the path's unless given.

        Raises StoreFull, StoreUnwritable, FilesError when there is no such file.
        """
        path = Path(path)
        suffix = path.suffix.lower() if suffix is None else suffix
        with self.scratch() as folder, self._told(f"store {path} in"):
            if keep or path.stat().st_dev != folder.stat().st_dev:
                copied = shutil.copyfile(path, folder / "copy")
                stored = self._adopt(copied, suffix)
                if not keep:
                    path.unlink()
                return stored
            return self._adopt(path, suffix)

    def path(self, id: FileId) -> Path:
        """Where the file lies, without a look at its bytes. Raises FileMissing, FileIdInvalid."""
        path = self._place(id)
        if not path.exists():
            raise FileMissing(id, path)
        return path

    def open_verified(self, id: FileId) -> Path:
        """Where the file lies, its bytes being what they were. Raises FileMissing, FileDamaged, FileIdInvalid."""
        path = self.path(id)
        with self._told(f"look at {id} in"):
            seen = _signature(path)
        if self._verified.get(id) != seen:
            found = self._found(path)
            if found != _digest(id):
                raise FileDamaged(id, path, _digest(id), found)
            self._verified[id] = seen
        return path

    def verify(self, id: FileId) -> bool:
        """Whether the file is there and its bytes are what they were; always reads all of it."""
        try:
            self.check(id)
        except (FileMissing, FileDamaged):
            return False
        return True

    def check(self, id: FileId) -> None:
        """Read all of a file in the store. Raises FileMissing, FileDamaged, FileIdInvalid."""
        self._verified.pop(id, None)
        self.open_verified(id)

    def place(self, id: FileId) -> str:
        """Where the file lies or should lie, for a person to read."""
        return str(self._place(id))

    def exists(self, id: FileId) -> bool:
        """Whether there is a file of that name; its bytes are not looked at."""
        return self._place(id).exists()

    def present(self, ids: Iterable[FileId]) -> set[FileId]:
        """Those of `ids` that are in the store; their bytes are not looked at. The way to ask for thousands."""
        wanted: dict[str, set[FileId]] = {}
        for id in ids:
            wanted.setdefault(_digest(id)[:2], set()).add(id)
        there = set[FileId]()
        for folder, here in wanted.items():
            listed: list[FileId] | None = None
            if len(here) >= FEW:
                with contextlib.suppress(OSError):  # a folder that cannot be listed may still be entered
                    listed = os.listdir(self.root / folder)
            there |= here.intersection(listed) if listed is not None else {id for id in here if self.exists(id)}
        return there

    def size(self, id: FileId) -> int:
        """Bytes. Raises FileMissing, FileIdInvalid."""
        return self.path(id).stat().st_size

    def ids(self) -> Iterator[FileId]:
        """All files of the store, in order."""
        folders = sorted(f.name for f in self.root.glob("??")) if self.root.exists() else []
        for folder in folders:
            yield from sorted(name for name in os.listdir(self.root / folder) if _ID.fullmatch(name))

    def entries(self) -> dict[FileId, Entry]:
        """All files of the store with their sizes and times."""
        found = {}
        for id in self.ids():
            with contextlib.suppress(FileNotFoundError):  # another may be sweeping
                seen = self._place(id).stat()
                found[id] = Entry(seen.st_size, seen.st_ctime)  # a file that was moved in keeps its mtime
        return found

    def remove(self, id: FileId) -> bool:
        """Delete a file; False when it was not there."""
        path = self._place(id)
        self._verified.pop(id, None)
        with self._told("delete from"):
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            _sync_folder(path.parent)
        return True

    def set_aside(self, id: FileId) -> Path | None:
        """Move a damaged file to the folder `damaged`, for a person to look at; None when it was not there."""
        place, aside = self._place(id), self.root / ASIDE / id
        self._verified.pop(id, None)
        with self._told("set a file aside in"):
            try:
                aside.parent.mkdir(exist_ok=True)
                place.replace(aside)
            except FileNotFoundError:
                return None
            _sync_folder(place.parent)
        return aside

    def mend(self, id: FileId) -> bool:
        """Put a damaged or missing file right from another copy, where there is one; whether there was."""
        _digest(id)
        return False

    def fresh(self) -> Files:
        """The same store as one that has read nothing yet, so that it reads everything again."""
        return Files(self.root)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder on the store's disk, gone at the end. `put_file` of a file in it is a rename."""
        with self._told("write"):
            folder = Path(tempfile.mkdtemp(dir=self._scratch.folder()))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what dead processes left in the temporary folder; done by the first write too. How many it were."""
        return self._scratch.sweep()

    def _place(self, id: FileId) -> Path:
        return self.root / _digest(id)[:2] / id

    def _adopt(self, new: Path, suffix: str) -> FileId:
        """A finished file on the store's disk becomes a stored one."""
        if not _SUFFIX.fullmatch(suffix):
            raise FileIdInvalid(f"A stored file's suffix is a dot and up to 16 of a-z 0-9, or empty; got {suffix!r}.")
        id = f"sha256-{_hash(new)}{suffix}"
        place = self._place(id)
        if not place.parent.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            _sync_folder(self.root)
        _sync_file(new)
        new.chmod(0o444)
        # Over a file of that name too: it has these bytes, unless it was damaged, and then it is healed.
        new.replace(place)
        _sync_folder(place.parent)
        self._verified[id] = _signature(place)
        return id

    def _found(self, path: Path) -> str:
        """The sha256 of a stored file; what the disk cannot read is damaged, what we may not read is not."""
        try:
            return _hash(path)
        except PermissionError as error:
            raise FilesError(f"Cannot read the stored file {path}: {error.strerror}. Make it readable.") from error
        except OSError as error:
            return f"not to be had ({error.strerror})"

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """The system's errors become errors of this room."""
        try:
            yield
        except OSError as error:
            said = f"Cannot {doing} the file store {self.root}: {error.strerror or error}"
            if error.errno in _FULL:
                raise StoreFull(f"{said}. Make room there and run the same command again.") from error
            if error.errno in _UNWRITABLE:
                raise StoreUnwritable(f"{said}. Make it writable, or name another folder with --data.") from error
            raise FilesError(f"{said}. Check the path and the disk, and run the same command again.") from error


def _digest(id: FileId) -> str:
    match = _ID.fullmatch(id)
    if match is None:
        raise FileIdInvalid(f"{id!r} does not name a stored file; a name is sha256-<64 hex digits> and a suffix.")
    return match[1]


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _signature(path: Path) -> tuple[int, int, int]:
    """Changes when somebody writes to the file or puts another in its place."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _sync_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    """A rename is on the disk when its folder is."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
