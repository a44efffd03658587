"""Where things lie: the data folder (ledger and files), the finished films, the database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


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
    def files(self) -> Path:
        """Root of the content-addressed files."""
        return self.data / "files"


def places(data: Path | None = None, films: Path | None = None, db: str | None = None) -> Places:
    """What the options say, else LONGTAKE_DIR, LONGTAKE_FILMS, LONGTAKE_DB_URL, else `.longtake` and `films`."""
    return Places(
        data or Path(os.environ.get("LONGTAKE_DIR") or ".longtake"),
        films or Path(os.environ.get("LONGTAKE_FILMS") or "films"),
        db or os.environ.get("LONGTAKE_DB_URL") or None,
    )
