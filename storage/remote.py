"""The same store somewhere else: any place that fsspec can reach (s3, gcs, az, sftp, webdav, memory ...).

    <url>/ab/sha256-ab12....mkv      the truth, shared by all machines
    <url>/tmp/<time>-<random>        what is being sent, where a file could be seen half sent
    <cache>/                         a store on this machine's disk; may be deleted at any time

A file is first stored here, which gives it its name, and then sent: to a temporary name and renamed, or, in an object
store, where an object appears whole or not at all, in one go. What is fetched gets its name from its bytes again, so a
file that was altered or cut short on the way is found. A store that does not answer is asked again for two minutes.
Checkpoints are sent beside, see `remote_checkpoints`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from .checkpoints import Checkpoints
from .elsewhere import Elsewhere, changed_at
from .errors import FileDamaged, FileMissing, StoreUnwritable
from .files import _ID, ASIDE, Entry, FileId, Files
from .remote_checkpoints import RemoteCheckpoints

PATIENCE = 120.0
"""Seconds for which a store that does not answer is asked again."""
STALE = 24 * 3600
"""Seconds after which something half sent belongs to nobody."""


def open_files(where: str | Path) -> Files:
    """The store at a folder, `file:///folder`, or any fsspec URL. Nothing is made until the first write.

    Files of a store elsewhere that this machine has seen are kept below LONGTAKE_CACHE, or ~/.cache/longtake.
    Raises StoreUnknown.
    """
    text = str(where)
    if text.startswith("file://"):
        return Files(Path(text.removeprefix("file://")))
    if "://" not in text:
        return Files(where)
    return RemoteFiles(text, _usual_cache(text))


class RemoteFiles(Files):
    """The store at an fsspec `url`, with the files that this machine has seen in `cache`, a store of its own."""

    def __init__(self, url: str, cache: str | Path, patience: float = PATIENCE) -> None:
        super().__init__(cache)
        self._far = Elsewhere(url, patience)
        self.url, self.shown = self._far.url, self._far.shown
        self._far.open()  # a wrong address is better found now than in the night

    def __repr__(self) -> str:
        return f"RemoteFiles({self.shown!r}, {str(self.root)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFiles, (self.url, self.root, self._far.patience)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Those on this machine, which are sent to the store elsewhere too, and those that others have sent."""
        return RemoteCheckpoints(self.root, self.url, self._far.patience)

    def close(self) -> None:
        """As `Files.close`."""
        self.checkpoints.close()
        super().close()

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
        return self._far.ask("look into", lambda fs: bool(fs.exists(place)))

    def present(self, ids: Iterable[FileId]) -> set[FileId]:
        """As `Files.present`, by one listing of the store."""
        return set(ids) & set(self.ids())

    def size(self, id: FileId) -> int:
        """Bytes. Raises FileMissing, FileIdInvalid."""
        place = self._there(id)
        try:
            return int(self._far.ask("look into", lambda fs: fs.info(place)["size"]))
        except FileNotFoundError:
            raise FileMissing(id, self._place(id), self.place(id)) from None

    def ids(self) -> Iterator[FileId]:
        """All files of the store elsewhere, in order."""
        yield from sorted(self.entries())

    def entries(self) -> dict[FileId, Entry]:
        """As `Files.entries`, by one listing."""
        found = self._far.ask("list", lambda fs: fs.find(self._far.base, detail=True))
        named = {name.rsplit("/", 1)[-1]: (name, entry) for name, entry in found.items()}
        return {
            id: Entry(int(entry["size"] or 0), changed_at(entry))
            for id, (name, entry) in named.items()
            if _ID.fullmatch(id) and name.endswith(self._tail(id))
        }

    def remove(self, id: FileId) -> bool:
        """Delete a file, here too; False when the store elsewhere did not have it."""
        place = self._there(id)
        super().remove(id)
        there = self.exists(id)  # an object store deletes what is not there without a word
        return self._far.gone("delete from", lambda fs: fs.rm_file(place)) and there

    def set_aside(self, id: FileId) -> Path | None:
        """As `Files.set_aside`, in the store elsewhere. The path is the address, for a person to read."""
        there, aside = self._there(id), f"{self._far.base}/{ASIDE}/{id}"
        super().remove(id)

        def move(fs: Any) -> None:
            if not self._far.whole:
                fs.makedirs(f"{self._far.base}/{ASIDE}", exist_ok=True)
            fs.mv(there, aside)

        return Path(f"{self.shown}/{ASIDE}/{id}") if self._far.gone("set a file aside in", move) else None

    def mend(self, id: FileId) -> bool:
        """Send a file again that is damaged or gone elsewhere and whole here; False when it is not here either."""
        if not self._place(id).exists() or not Files(self.root).verify(id):
            return False
        self._send(id)
        return True

    def fresh(self) -> Files:
        """As `Files.fresh`."""
        return RemoteFiles(self.url, self.root, self._far.patience)

    def sweep(self) -> int:
        """Remove what dead processes left here, and what was half sent a day ago."""
        stale = self._stale()
        self._far.ask("sweep", lambda fs: [fs.rm_file(place) for place in stale])
        return super().sweep() + len(stale)

    def _there(self, id: FileId) -> str:
        return self._far.base + self._tail(id)

    def _tail(self, id: FileId) -> str:
        return f"/{self._place(id).relative_to(self.root).as_posix()}"

    def _stale(self) -> list[str]:
        try:
            left = self._far.ask("look into", lambda fs: fs.find(f"{self._far.base}/tmp"))
        except FileNotFoundError:
            return []
        return [name for name in left if _age(name.rsplit("/", 1)[-1]) > STALE]

    def _send(self, id: FileId) -> None:
        here, there = self._place(id), self._there(id)
        size = here.stat().st_size
        # Sent again over a file of that name too: it may be damaged, and then it is healed.
        try:
            self._far.ask("write", lambda _: self._far.send(there, size, lambda fs, to: fs.put_file(str(here), to)))
        except FileNotFoundError as error:
            said = f"Cannot write the store {self.shown}: {self._far.said(error)}"
            raise StoreUnwritable(f"{said}. Check that the bucket or the folder above it exists.") from None

    def _fetch(self, id: FileId) -> None:
        """Bring a file here. Raises FileMissing, FileDamaged."""
        there, shown = self._there(id), self.place(id)
        with self.scratch() as folder:
            new = folder / "fetched"
            try:
                self._far.ask("read", lambda fs: fs.get_file(there, str(new)))
            except FileNotFoundError:
                raise FileMissing(id, self._place(id), shown) from None
            with new.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != id[7:71]:
                raise FileDamaged(id, self._place(id), id[7:71], found, shown)
            super().put_file(new, Path(id).suffix)


def _age(part: str) -> float:
    stamp = part.partition("-")[0]
    return time.time() - int(stamp) if stamp.isdecimal() else 0.0


def _usual_cache(url: str) -> Path:
    given = os.environ.get("LONGTAKE_CACHE")
    base = Path(given) if given else Path.home() / ".cache" / "longtake"
    return base / hashlib.sha256(url.encode()).hexdigest()[:16]
