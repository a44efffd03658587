"""Checkpoints where the store is elsewhere: on this machine's disk at once, and in the store as soon as the line lets.

    <url>/checkpoints/<name>/<step>-<sha256>.safetensors

What is sent appears there all at once (`elsewhere`), and is named by its bytes, so one that was cut short or altered
is found out whatever the place does. A newer one has a new name, and the older ones go after it has come, so a reader
finds one or the other. Of one name the furthest is the newest: no clocks of machines are compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .checkpoints import FOLDER, HEAD, SUFFIX, Checkpoints, Held, named
from .elsewhere import Elsewhere, changed_at
from .errands import Errands
from .errors import FilesError

_PLACE = re.compile(r"([A-Za-z0-9_-]{1,128})/(\d{6,})-([0-9a-f]{64})" + re.escape(SUFFIX))
log = logging.getLogger("longtake.storage")


@dataclass(frozen=True, slots=True)
class _There:
    name: str
    step: int
    digest: str  # sha256 of its bytes
    bytes: int
    changed_at: float


class RemoteCheckpoints(Checkpoints):
    """Those in the folder `root` of this machine, and those in the store at `url`. patience: as of `Elsewhere`."""

    def __init__(self, root: str | Path, url: str, patience: float) -> None:
        super().__init__(root)
        self._far = Elsewhere(url, patience)
        self._away = False
        self._errands = Errands(self._failed, self._went)

    @property
    def busy(self) -> bool:
        """As `Checkpoints.busy`."""
        return self._errands.busy

    def put(self, name: str, data: bytes, step: int = 0, eager: bool = False) -> Path:
        """As `Checkpoints.put`; it is sent beside, unless a newer one comes before its turn. Raises OSError."""
        self._errands.put(name, partial(self._send, name, data, step), eager)
        return super().put(name, data, step, eager)

    def elsewhere(self, keys: Collection[str], beyond: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """As `Checkpoints.elsewhere`: a listing, and the headers of what lies there. Raises FilesError, also when
        read: OSError for one that has just been removed."""
        listed = {there: found for there, found in self._listed().items() if found.step > beyond}
        places = sorted(listed, key=lambda there: listed[there].step, reverse=True)
        for there, keyed in self._keyed({there: listed[there] for there in places}).items():
            if keyed & set(keys):
                yield listed[there].name, partial(self._read, there, listed[there].digest)

    def flush(self, seconds: float) -> bool:
        """As `Checkpoints.flush`; what is not sent by then goes on being tried."""
        return self._errands.flush(seconds)

    def close(self) -> None:
        """As `Checkpoints.close`."""
        self._errands.clear()

    def drop(self, name: str) -> None:
        """As `Checkpoints.drop`; in the store elsewhere beside, after what is on its way there or waits already."""
        super().drop(name)
        self._errands.put(name, partial(self._drop, name))

    def held(self) -> dict[Path | str, Held]:
        """As `Checkpoints.held`. Raises FilesError."""
        listed = self._listed()
        keyed = self._keyed(listed)
        theirs = {there: Held(keyed[there], found.bytes, found.changed_at) for there, found in listed.items()}
        return super().held() | {self._address(there): held for there, held in theirs.items()}

    def remove(self, places: Iterable[Path | str]) -> dict[Path | str, int]:
        """As `Checkpoints.remove`. Raises FilesError."""
        wanted = set(places)
        removed = super().remove(wanted)
        for there, found in self._listed().items():
            if self._address(there) in wanted and self._removed(there):
                removed[self._address(there)] = found.bytes
        return removed

    def _removed(self, there: str) -> bool:
        return self._far.gone("delete from", lambda fs: fs.rm_file(there))

    @property
    def _base(self) -> str:
        return f"{self._far.base}/{FOLDER}"

    def _address(self, there: str) -> str:
        return f"{self._far.shown}/{FOLDER}{there.removeprefix(self._base)}"

    def _listed(self) -> dict[str, _There]:
        """What lies there, by its path in the file system."""
        try:
            found = self._far.ask("list", lambda fs: fs.find(self._base, detail=True))
        except FileNotFoundError:
            return {}
        read = {there: _there(there, entry) for there, entry in found.items()}
        return {there: one for there, one in read.items() if one is not None}

    def _keyed(self, listed: Mapping[str, _There]) -> dict[str, frozenset[str]]:
        """The clips that each is of, by their headers, all asked for at once; none of one that has just gone."""
        whole = [there for there, found in listed.items() if found.bytes]

        def heads(fs: Any) -> list[bytes | Exception]:
            found: list[bytes | Exception] = fs.cat_ranges(whole, 0, HEAD, on_error="return")
            for error in found:
                if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
                    raise error
            return found

        heard = self._far.ask("read", heads) if whole else []
        told = {there: named(head) for there, head in zip(whole, heard, strict=True) if isinstance(head, bytes)}
        return {there: told.get(there, frozenset()) for there in listed}

    def _read(self, there: str, digest: str) -> bytes:
        data: bytes = self._far.ask("read", lambda fs: fs.cat_file(there))
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise FilesError(f"{self._address(there)} is torn or was altered: its sha256 is {found}")
        return data

    def _send(self, name: str, data: bytes, step: int) -> None:
        """One try to send it, and to remove what it replaces. Raises whatever the plugin raises."""
        folder = f"{self._base}/{name}"
        there = f"{folder}/{step:06d}-{hashlib.sha256(data).hexdigest()}{SUFFIX}"
        self._far.send(there, len(data), lambda fs, to: fs.pipe_file(to, data))
        fs, _ = self._far.open()
        for other, entry in fs.find(folder, detail=True).items():
            found = _there(other, entry)
            if found is not None and found.step < step:
                with contextlib.suppress(FileNotFoundError):
                    fs.rm_file(other)

    def _drop(self, name: str) -> None:
        fs, _ = self._far.open()
        with contextlib.suppress(FileNotFoundError):
            fs.rm(f"{self._base}/{name}", recursive=True)

    def _failed(self, error: Exception) -> None:
        if not self._away:
            told = "checkpoints do not reach the store %s: %s; they are kept on this machine, and work goes on"
            log.warning(told, self._far.shown, self._far.said(error))
        self._away = True

    def _went(self) -> None:
        if self._away:
            log.warning("the store %s takes checkpoints again", self._far.shown)
        self._away = False


def _there(path: str, entry: Mapping[str, Any]) -> _There | None:
    """A checkpoint by its path and what the file system says of it; None for anything else."""
    match = _PLACE.fullmatch("/".join(path.rsplit("/", 2)[-2:]))
    return match and _There(match[1], int(match[2]), match[3], int(entry["size"] or 0), changed_at(entry))
