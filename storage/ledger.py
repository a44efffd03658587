"""The ledger: everything that was planned, tried, made and cut, in SQLite or Postgres.

What was computed (clips and takes, by key) is apart from who ran it when (productions and attempts). Every method is
one short transaction; a process that is killed at any moment leaves a valid ledger. A file is in the store before the
row that names it is written, so a row never promises what is not there.

    ledger = Ledger.open("postgresql://user:secret@host/longtake")      # or a path
    with ledger.claim_film("harbour") as lease:
        production = ledger.start_production("harbour", ..., slates, lease=lease)
        (attempt,) = ledger.begin_attempts(production, [key], device="cpu", worker="local")
        take = ledger.finish_attempt(attempt, TakeRow(...))
        ledger.end_production(production, ProductionState.DONE)
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from .address import parse
from .attempts import Attempts
from .choices import Choices
from .clip_leases import ClipLeases
from .database import connect
from .films import Films
from .leases import Leases
from .needs import Needs
from .nodes import Nodes
from .placed import Placed
from .portable_rows import Portable
from .productions import Productions
from .progress import Progress
from .runs import Runs
from .schema import bring_to_head, missing
from .takes import Takes


class Ledger(
    Leases, ClipLeases, Productions, Attempts, Takes, Films, Choices, Placed, Needs, Portable, Runs, Nodes, Progress
):
    """An open ledger. Threads may share it; a process that is forked opens connections of its own."""

    @classmethod
    def open(cls, url: str | Path, create: bool = True) -> Self:
        """Open the ledger at a path, `sqlite:///...` or `postgresql://...` (or `postgres://...`), at the newest schema.

        With `create` false nothing is made where nothing is, and LedgerMissing is raised. Raises LedgerUrlInvalid,
        LedgerUnreachable, LedgerLocked, LedgerDamaged, LedgerForeign, LedgerTooNew, StoreFull, StoreUnwritable.
        """
        address = parse(url)
        if not create and address.path is not None and not address.path.exists():
            raise missing(address)
        engine = connect(address)
        try:
            bring_to_head(engine, address, create)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
