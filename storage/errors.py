"""What can go wrong while remembering.

    StorageError
    +-- LedgerError
    |   +-- LedgerUrlInvalid     the address of the ledger cannot be read
    |   +-- LedgerMissing        nothing has been recorded there yet
    |   +-- LedgerUnreachable    no server, no permission, no such database, an unwritable folder
    |   +-- LedgerLocked         another process kept it locked for too long
    |   +-- LedgerDamaged        not a database, or one that is broken
    |   +-- LedgerForeign        a database, but of another program
    |   +-- LedgerTooNew         written by a newer longtake
    |   +-- NotRecorded          no such production, attempt, clip or run
    |   +-- IllegalTransition    an attempt, production or run cannot go from that state to this one
    +-- LeaseError
    |   +-- FilmBusy             another process is rendering this film
    |   +-- LeaseLost            another process has taken the film over
    +-- FilesError
        +-- FileIdInvalid        not the name of a stored file
        +-- FileMissing          a stored file is gone
        +-- FileDamaged          a stored file is not what it was
        +-- StoreFull            no room on the disk (files or ledger)
        +-- StoreUnwritable      no permission, or a read-only disk (files or ledger)
        +-- StoreUnreachable     a store elsewhere did not answer for as long as we wait
        +-- ExportInvalid        a folder that is no exported film, or cannot become one
        +-- StoreUnknown         an address of a store that cannot be understood, or needs a package that is not here

Every message says what, the given value, what is allowed and what to do next. None holds a password.
"""

from __future__ import annotations

from pathlib import Path


class StorageError(Exception):
    """Root of all errors of this room."""


class LedgerError(StorageError):
    """Something about the ledger."""


class LedgerUrlInvalid(LedgerError):
    """The address of the ledger cannot be read."""


class LedgerMissing(LedgerError):
    """Nothing has been recorded at this address yet."""


class LedgerUnreachable(LedgerError):
    """The database does not answer, or does not let us in."""


class LedgerLocked(LedgerError):
    """Another process kept the ledger locked for longer than we wait."""


class LedgerDamaged(LedgerError):
    """The file is not a database, or the database is broken."""


class LedgerForeign(LedgerError):
    """The database belongs to another program."""


class LedgerTooNew(LedgerError):
    """The ledger was written by a newer version of longtake."""


class NotRecorded(LedgerError):
    """No such production, attempt or clip in the ledger."""


class IllegalTransition(LedgerError):
    """An attempt or a production cannot go from the state it is in to the one that was asked for."""


class LeaseError(StorageError):
    """Something about who may render a film."""


class FilmBusy(LeaseError):
    """Another process is rendering this film: `host`, `pid`, `since` (seconds since the epoch)."""

    def __init__(self, message: str, host: str, pid: int, since: float) -> None:
        super().__init__(message)
        self.host, self.pid, self.since = host, pid, since


class LeaseLost(LeaseError):
    """Another process has taken the film over; what this one still does for it is not recorded."""


class FilesError(StorageError):
    """Something about stored files."""


class FileIdInvalid(FilesError):
    """Not the name of a stored file."""


class FileMissing(FilesError):
    """A stored file is gone: `id`, `path` (here), `shown` (where it should be: `path`, or an address elsewhere)."""

    def __init__(self, id: str, path: Path, shown: str = "") -> None:
        super().__init__(
            f"Stored file {id} is missing: {shown or path} does not exist. "
            "Restore it from a backup, or render the film again to make it anew."
        )
        self.id, self.path, self.shown = id, path, shown or str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.id, self.path, self.shown)


class FileDamaged(FilesError):
    """A stored file is not what it was: `id`, `path` and `shown` as above, `expected` and `found` (sha256, hex)."""

    def __init__(self, id: str, path: Path, expected: str, found: str, shown: str = "") -> None:
        super().__init__(
            f"Stored file {shown or path} is damaged: its sha256 is {found}, expected {expected}. "
            "Its clip will be rendered again at the next run of the film; `longtake verify` lists all such files."
        )
        self.id, self.path, self.expected, self.found, self.shown = id, path, expected, found, shown or str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.id, self.path, self.expected, self.found, self.shown)


class StoreFull(FilesError):
    """No room left on the disk."""


class StoreUnwritable(FilesError):
    """No permission to write, or a read-only disk."""


class StoreUnreachable(FilesError):
    """A store elsewhere did not answer for as long as we wait."""


class StoreUnknown(FilesError):
    """An address of a store that cannot be understood, or that needs a package which is not installed."""


class ExportInvalid(FilesError):
    """A folder that is no exported film, a damaged one, one of another version, or one that is not empty."""
