"""Where things lie: the data folder (ledger and files), the finished films, the database."""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from storage.address import parse


@dataclass(frozen=True)
class Places:
    """`data` holds ledger.sqlite and files/; `films` the finished films; `db` a database URL instead of SQLite."""

    data: Path
    films: Path
    db: str | None = None

    @property
    def ledger_url(self) -> str:
        """URL of the ledger: the database given, or SQLite in the data folder."""
        return self.db or f"sqlite:///{(self.data / 'ledger.sqlite').absolute()}"

    @property
    def anchor(self) -> Path:
        """The folder that holds the data folder; it may be moved with the films in it."""
        return self.data.absolute().parent

    def recorded(self, path: Path) -> str:
        """How the ledger names a file: relative to `anchor` where it lies below it."""
        path = path.absolute()
        return path.relative_to(self.anchor).as_posix() if path.is_relative_to(self.anchor) else str(path)

    def found(self, recorded: str) -> Path:
        """Where a file that the ledger names lies now."""
        return self.anchor / recorded

    @property
    def ledger_shown(self) -> str:
        """Where the ledger is, without a password. Raises LedgerUrlInvalid."""
        return parse(self.ledger_url).shown

    def options(self, films: Path | None = None) -> str:
        """The options that name these places on a command line, each with a space before it; '' where none is needed.

        films: the folder that a film was last written to, when it is known. A database whose address holds a
        password is left out: see `reminder`.
        """
        usual = places()
        given = []
        if self.data != usual.data:
            given += ["--data", str(self.data)]
        films = films or self.films
        if films.absolute() != usual.films.absolute():
            given += ["--films", str(films)]
        if self.db and self.db != usual.db and not self._secret:
            given += ["--db", self.db]
        return "".join(f" {shlex.quote(word)}" for word in given)

    @property
    def reminder(self) -> str:
        """What to do before a command with `options` is run; '' when nothing is."""
        if self.db and self.db != places().db and self._secret:
            return f"set LONGTAKE_DB_URL to the address, with password, of {self.ledger_shown}; then: "
        return ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown of the database's address. Raises LedgerUrlInvalid."""
        return parse(self.ledger_url).secrets

    @property
    def _secret(self) -> bool:
        return bool(self.secrets)

    @property
    def files(self) -> Path:
        """Where the content-addressed files lie unless they have been moved."""
        return self.data / "files"

    @property
    def moved(self) -> Path:
        """The file that names another store, in one line, once `longtake move` has written it."""
        return self.data / "store"

    @property
    def store(self) -> str:
        """The store: LONGTAKE_STORE, else where it was moved to, else `files`. A folder, or a URL."""
        if told := os.environ.get("LONGTAKE_STORE"):
            return told
        try:
            return self.moved.read_text().strip() or str(self.files)
        except FileNotFoundError:
            return str(self.files)


def places(data: Path | None = None, films: Path | None = None, db: str | None = None) -> Places:
    """What the options say, else LONGTAKE_DIR, LONGTAKE_FILMS, LONGTAKE_DB_URL, else `.longtake` and `films`."""
    return Places(
        data or Path(os.environ.get("LONGTAKE_DIR") or ".longtake"),
        films or Path(os.environ.get("LONGTAKE_FILMS") or "films"),
        db or os.environ.get("LONGTAKE_DB_URL") or None,
    )


def file_digest(path: Path) -> str:
    """sha256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
