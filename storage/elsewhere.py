"""A place that fsspec can reach: its address, how it is asked, and how something gets there whole or not at all.

    <url>/tmp/<time>-<random>        what is being sent, where a file could be seen half sent

In an object store an object appears whole or not at all, so it is sent in one go; everywhere else to a temporary name,
and renamed. A place that does not answer is asked again, for as long as the one who asks has patience.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from .errors import FilesError, StoreFull, StoreUnknown, StoreUnreachable, StoreUnwritable

_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2", "b2", "memory"}
"""Where a put is atomic, and a rename would be a second copy."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError, TypeError, ValueError)
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
log = logging.getLogger("longtake.storage")
T = TypeVar("T")


class Elsewhere:
    """The place at an fsspec `url`. `shown`: the address without secrets. Each process opens it for itself."""

    def __init__(self, url: str, patience: float) -> None:
        self.url = url.rstrip("/")
        self.shown = without_secrets(self.url)
        self.patience = patience
        self.whole = self.url.split("://")[0].split("::")[0] in _WHOLE
        self._opened: tuple[int, Any, str] | None = None  # process, file system, root in it

    @property
    def base(self) -> str:
        """Our root in the file system."""
        return self.open()[1]

    def open(self) -> tuple[Any, str]:
        """The file system and our root in it; a forked child opens its own. Raises StoreUnknown."""
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

    def send(self, there: str, size: int, write: Callable[[Any, str], object]) -> None:
        """Let `write` put `size` bytes at a path of the file system so that they appear there all at once.

        Tried once: raises whatever the plugin raises, OSError when they did not all arrive.
        """
        fs, base = self.open()
        if self.whole:
            _write(fs, there, size, write)
            return
        part = f"{base}/tmp/{int(time.time())}-{secrets.token_hex(8)}"
        fs.makedirs(part.rsplit("/", 1)[0], exist_ok=True)
        try:
            _write(fs, part, size, write)
            fs.makedirs(there.rsplit("/", 1)[0], exist_ok=True)
            fs.mv(part, there)
        except BaseException:
            with contextlib.suppress(Exception):  # the line may be dead; what is left is swept in a day
                fs.rm_file(part)
            raise

    def gone(self, doing: str, call: Callable[[Any], object]) -> bool:
        """Ask for something to be taken away; False when it was not there."""
        try:
            self.ask(doing, call)
        except FileNotFoundError:
            return False
        return True

    def ask(self, doing: str, call: Callable[[Any], T]) -> T:
        """What the file system says; when it does not answer, again and again. FileNotFoundError is an answer.

        Raises StoreUnreachable, StoreUnwritable, StoreFull, FilesError.
        """
        deadline, pause = time.monotonic() + self.patience, 0.2
        while True:
            try:
                return call(self.open()[0])
            except (FileNotFoundError, FilesError):
                raise
            except PermissionError as error:
                said = f"Cannot {doing} the store {self.shown}: {self.said(error)}"
                raise StoreUnwritable(f"{said}. Check the credentials and what they allow.") from None
            except _LASTING as error:
                said = f"Cannot {doing} the store {self.shown}: {self.said(error)}"
                raise FilesError(f"{said}. Check the address, and that the package for it is up to date.") from None
            except Exception as error:  # each plugin has errors of its own for what a network does
                if "Credentials" in type(error).__name__:
                    raise StoreUnwritable(f"The store {self.shown} cannot be used: {self.said(error)}.") from None
                if isinstance(error, OSError) and error.errno in _FULL:
                    said = f"Cannot {doing} the store {self.shown}: {self.said(error)}"
                    raise StoreFull(f"{said}. Make room there and run the same command again.") from None
                if time.monotonic() + pause > deadline:
                    raise StoreUnreachable(
                        f"The store {self.shown} has not answered for {self.patience:.0f} s: {self.said(error)}. "
                        "Check the network and the address, and run the same command again; what is finished is kept."
                    ) from None
                log.warning("the store %s does not answer, asking again: %s", self.shown, self.said(error))
                time.sleep(pause)
                pause = min(pause * 2, 10.0)

    def said(self, error: BaseException) -> str:
        """An error's words without secrets."""
        return (str(error) or type(error).__name__).replace(self.url, self.shown)


def _write(fs: Any, path: str, size: int, write: Callable[[Any, str], object]) -> None:
    write(fs, path)
    arrived = fs.info(path)["size"]
    if arrived != size:
        raise OSError(f"{arrived} of {size} bytes arrived")


def changed_at(entry: Mapping[str, Any]) -> float:
    """When a file came there, as far as the plugin says; now, when it does not: such a file is never an old one."""
    found = next((entry[name] for name in _TIMES if entry.get(name) is not None), None)
    if isinstance(found, datetime):
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return float(found) if isinstance(found, int | float) else time.time()


def without_secrets(url: str) -> str:
    """The address without user, password and options, any of which may be a key."""
    return re.sub(r"://[^/@]*@", "://***@", url).partition("?")[0]
