"""The same store somewhere else: any place that fsspec can reach (s3, gcs, az, sftp, webdav, memory ...).

    <url>/ab/sha256-ab12....mkv      the truth, shared by all machines
    <url>/tmp/<time>-<random>        what is being sent, where a file could be seen half sent
    <cache>/                         a store on this machine's disk; may be deleted at any time

A file is first stored here, which gives it its name, and then sent: to a temporary name and renamed, or, in an object
store, where an object appears whole or not at all, in one go. What is fetched gets its name from its bytes again, so a
file that was altered or cut short on the way is found. A store that does not answer is asked again for two minutes.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from .errors import FileDamaged, FileMissing, FilesError, StoreFull, StoreUnknown, StoreUnreachable, StoreUnwritable
from .files import _ID, ASIDE, Entry, FileId, Files

PATIENCE = 120.0
"""Seconds for which a store that does not answer is asked again."""
STALE = 24 * 3600
"""Seconds after which something half sent belongs to nobody."""
_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2", "b2", "memory"}
"""Where a put is atomic, and a rename would be a second copy."""
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError, TypeError, ValueError)
log = logging.getLogger("longtake.storage")
T = TypeVar("T")


def open_files(where: str | Path, cache: str | Path | None = None) -> Files:
    """The store at a folder, `file:///folder`, or any fsspec URL. Nothing is made until the first write.

    cache: folder on this machine for files of a store elsewhere; by default below LONGTAKE_CACHE, or ~/.cache/longtake.
    Raises StoreUnknown.
    """
    text = str(where)
    if text.startswith("file://"):
        return Files(Path(text.removeprefix("file://")))
    if "://" not in text:
        return Files(where)
    return RemoteFiles(text, cache or _usual_cache(text))


class RemoteFiles(Files):
    """The store at an fsspec `url`, with the files that this machine has seen in `cache`, a store of its own."""

    def __init__(self, url: str, cache: str | Path, patience: float = PATIENCE) -> None:
        super().__init__(cache)
        self.url = url.rstrip("/")
        self.shown = without_secrets(self.url)
        self._patience = patience
        self._whole = self.url.split("://")[0].split("::")[0] in _WHOLE
        self._opened: tuple[int, Any, str] | None = None  # process, file system, root in it
        self._fs()  # a wrong address is better found now than in the night

    def __repr__(self) -> str:
        return f"RemoteFiles({self.shown!r}, {str(self.root)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFiles, (self.url, self.root, self._patience)

    def put_file(self, path: Path, suffix: str | None = None, keep: bool = False) -> FileId:
        """As `Files.put_file`; the file is in the store elsewhere when this returns."""
        id = super().put_file(path, suffix, keep)
        self._send(id)
        return id

    def put_bytes(self, data: bytes, suffix: str = "") -> FileId:
        """As `Files.put_bytes`."""
        id = super().put_bytes(data, suffix)
        self._send(id)
        return id

    def path(self, id: FileId) -> Path:
        """Where the file lies on this machine, fetched when it was not here."""
        place = self._place(id)
        if not place.exists():
            self._fetch(id)
        return place

    def open_verified(self, id: FileId) -> Path:
        """As `Files.open_verified`; a copy here that was altered is fetched again."""
        self.path(id)
        try:
            return super().open_verified(id)
        except FileDamaged:
            super().remove(id)
            self._fetch(id)
            return super().open_verified(id)

    def check(self, id: FileId) -> None:
        """As `Files.check`: fetches all of the file elsewhere, whatever is here."""
        self._fetch(id)

    def place(self, id: FileId) -> str:
        """As `Files.place`: the address without secrets."""
        return self.shown + self._tail(id)

    def exists(self, id: FileId) -> bool:
        """Whether the store elsewhere has a file of that name."""
        place = self._there(id)
        return self._ask("look into", lambda fs: bool(fs.exists(place)))

    def present(self, ids: Iterable[FileId]) -> set[FileId]:
        """As `Files.present`, by one listing of the store."""
        return set(ids) & set(self.ids())

    def size(self, id: FileId) -> int:
        """Bytes. Raises FileMissing, FileIdInvalid."""
        place = self._there(id)
        try:
            return int(self._ask("look into", lambda fs: fs.info(place)["size"]))
        except FileNotFoundError:
            raise FileMissing(id, self._place(id), self.place(id)) from None

    def ids(self) -> Iterator[FileId]:
        """All files of the store elsewhere, in order."""
        yield from sorted(self.entries())

    def entries(self) -> dict[FileId, Entry]:
        """As `Files.entries`, by one listing."""
        found = self._ask("list", lambda fs: fs.find(self._base, detail=True))
        named = {name.rsplit("/", 1)[-1]: (name, entry) for name, entry in found.items()}
        return {
            id: Entry(int(entry["size"] or 0), _changed(entry))
            for id, (name, entry) in named.items()
            if _ID.fullmatch(id) and name.endswith(self._tail(id))
        }

    def remove(self, id: FileId) -> bool:
        """Delete a file, here too; False when the store elsewhere did not have it."""
        place = self._there(id)
        super().remove(id)
        there = self.exists(id)  # an object store deletes what is not there without a word
        return self._gone("delete from", lambda fs: fs.rm_file(place)) and there

    def set_aside(self, id: FileId) -> Path | None:
        """As `Files.set_aside`, in the store elsewhere. The path is the address, for a person to read."""
        there, aside = self._there(id), f"{self._base}/{ASIDE}/{id}"
        super().remove(id)

        def move(fs: Any) -> None:
            if not self._whole:
                fs.makedirs(f"{self._base}/{ASIDE}", exist_ok=True)
            fs.mv(there, aside)

        return Path(f"{self.shown}/{ASIDE}/{id}") if self._gone("set a file aside in", move) else None

    def mend(self, id: FileId) -> bool:
        """Send a file again that is damaged or gone elsewhere and whole here; False when it is not here either."""
        if not self._place(id).exists() or not Files(self.root).verify(id):
            return False
        self._send(id)
        return True

    def fresh(self) -> Files:
        """As `Files.fresh`."""
        return RemoteFiles(self.url, self.root, self._patience)

    def sweep(self) -> int:
        """Remove what dead processes left here, and what was half sent a day ago."""
        stale = self._stale()
        self._ask("sweep", lambda fs: [fs.rm_file(place) for place in stale])
        return super().sweep() + len(stale)

    @property
    def _base(self) -> str:
        return self._fs()[1]

    def _fs(self) -> tuple[Any, str]:
        """The file system and our root in it; a forked child opens its own."""
        if self._opened is None or self._opened[0] != os.getpid():
            import fsspec  # type: ignore[import-untyped]

            try:
                fs, base = fsspec.url_to_fs(self.url, use_listings_cache=False, skip_instance_cache=True)
            except ImportError as error:
                raise StoreUnknown(f"The store {self.shown} needs a package: {error}.") from None
            except ValueError as error:
                said = str(error).replace(self.url, self.shown)
                raise StoreUnknown(
                    f"The store {self.shown} cannot be reached: {said}. Allowed are a folder and any URL that fsspec "
                    "knows, such as s3://bucket/folder (with the package s3fs)."
                ) from None
            self._opened = (os.getpid(), fs, base.rstrip("/"))
        return self._opened[1], self._opened[2]

    def _there(self, id: FileId) -> str:
        return self._base + self._tail(id)

    def _tail(self, id: FileId) -> str:
        return f"/{self._place(id).relative_to(self.root).as_posix()}"

    def _stale(self) -> list[str]:
        try:
            left = self._ask("look into", lambda fs: fs.find(f"{self._base}/tmp"))
        except FileNotFoundError:
            return []
        return [name for name in left if _age(name.rsplit("/", 1)[-1]) > STALE]

    def _send(self, id: FileId) -> None:
        here, there = self._place(id), self._there(id)
        size = here.stat().st_size

        def send(fs: Any) -> None:
            # Sent again over a file of that name too: it may be damaged, and then it is healed.
            if self._whole:
                fs.put_file(str(here), there)
            else:
                part = f"{self._base}/tmp/{int(time.time())}-{secrets.token_hex(8)}"
                fs.makedirs(part.rsplit("/", 1)[0], exist_ok=True)
                fs.makedirs(there.rsplit("/", 1)[0], exist_ok=True)
                fs.put_file(str(here), part)
                fs.mv(part, there)
            arrived = fs.info(there)["size"]
            if arrived != size:
                raise OSError(f"{arrived} of {size} bytes arrived")

        try:
            self._ask("write", send)
        except FileNotFoundError as error:
            said = f"Cannot write the store {self.shown}: {self._said(error)}"
            raise StoreUnwritable(f"{said}. Check that the bucket or the folder above it exists.") from None

    def _fetch(self, id: FileId) -> None:
        """Bring a file here. Raises FileMissing, FileDamaged."""
        there, shown = self._there(id), self.place(id)
        with self.scratch() as folder:
            new = folder / "fetched"
            try:
                self._ask("read", lambda fs: fs.get_file(there, str(new)))
            except FileNotFoundError:
                raise FileMissing(id, self._place(id), shown) from None
            with new.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != id[7:71]:
                raise FileDamaged(id, self._place(id), id[7:71], found, shown)
            super().put_file(new, Path(id).suffix)

    def _gone(self, doing: str, call: Callable[[Any], object]) -> bool:
        try:
            self._ask(doing, call)
        except FileNotFoundError:
            return False
        return True

    def _ask(self, doing: str, call: Callable[[Any], T]) -> T:
        """What the file system says; when it does not answer, again and again. FileNotFoundError is an answer."""
        deadline, pause = time.monotonic() + self._patience, 0.2
        while True:
            try:
                return call(self._fs()[0])
            except (FileNotFoundError, FilesError):
                raise
            except PermissionError as error:
                said = f"Cannot {doing} the store {self.shown}: {self._said(error)}"
                raise StoreUnwritable(f"{said}. Check the credentials and what they allow.") from None
            except _LASTING as error:
                said = f"Cannot {doing} the store {self.shown}: {self._said(error)}"
                raise FilesError(f"{said}. Check the address, and that the package for it is up to date.") from None
            except Exception as error:  # each plugin has errors of its own for what a network does
                if "Credentials" in type(error).__name__:
                    raise StoreUnwritable(f"The store {self.shown} cannot be used: {self._said(error)}.") from None
                if isinstance(error, OSError) and error.errno in _FULL:
                    said = f"Cannot {doing} the store {self.shown}: {self._said(error)}"
                    raise StoreFull(f"{said}. Make room there and run the same command again.") from None
                if time.monotonic() + pause > deadline:
                    raise StoreUnreachable(
                        f"The store {self.shown} has not answered for {self._patience:.0f} s: {self._said(error)}. "
                        "Check the network and the address, and run the same command again; what is finished is kept."
                    ) from None
                log.warning("the store %s does not answer, asking again: %s", self.shown, self._said(error))
                time.sleep(pause)
                pause = min(pause * 2, 10.0)

    def _said(self, error: BaseException) -> str:
        return (str(error) or type(error).__name__).replace(self.url, self.shown)


def _changed(entry: dict[str, Any]) -> float:
    """When a file came there, as far as the plugin says; now, when it does not: such a file is never an old one."""
    found = next((entry[name] for name in _TIMES if entry.get(name) is not None), None)
    if isinstance(found, datetime):
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return float(found) if isinstance(found, int | float) else time.time()


def _age(part: str) -> float:
    stamp = part.partition("-")[0]
    return time.time() - int(stamp) if stamp.isdecimal() else 0.0


def without_secrets(url: str) -> str:
    """The address without user, password and options, any of which may be a key."""
    return re.sub(r"://[^/@]*@", "://***@", url).partition("?")[0]


def _usual_cache(url: str) -> Path:
    given = os.environ.get("LONGTAKE_CACHE")
    base = Path(given) if given else Path.home() / ".cache" / "longtake"
    return base / hashlib.sha256(url.encode()).hexdigest()[:16]
