"""What was learnt about machines: nodes that get no work, and how much memory a model needed."""

from __future__ import annotations

from sqlalchemy import select, update

from .database import Database, clock
from .rows import storable
from .tables import asides, insert_new, rungs


class Nodes(Database):
    """The part of the ledger about nodes and their memory."""

    def set_aside(self, host: str, reason: str) -> None:
        """Give a node no work until it is taken back. Set aside twice is set aside once, for the first reason."""
        with self._write() as connection:
            row = {"host": host, "reason": storable(reason), "created_at": clock(connection)}
            connection.execute(insert_new(connection, asides), row)

    def take_back(self, host: str) -> bool:
        """Let a node work again; False when it was not set aside."""
        with self._write() as connection:
            open_ = update(asides).where(asides.c.host == host, asides.c.ended_at.is_(None))
            return connection.execute(open_.values(ended_at=clock(connection))).rowcount > 0

    def aside(self) -> dict[str, str]:
        """Host -> why it gets no work, of all nodes that are set aside now."""
        query = select(asides.c.host, asides.c.reason).where(asides.c.ended_at.is_(None)).order_by(asides.c.host)
        with self._read() as connection:
            return {row.host: row.reason for row in connection.execute(query)}

    def remember_rung(self, model_digest: str, device: str, size: str, rung: int) -> None:
        """A model needed this rung of the memory ladder for clips of a size on a device. It is never lowered."""
        place = {"model_digest": model_digest, "device": device, "size": size}
        this = (rungs.c.model_digest == model_digest) & (rungs.c.device == device) & (rungs.c.size == size)
        with self._write() as connection:
            now = clock(connection)
            connection.execute(insert_new(connection, rungs), place | {"rung": rung, "updated_at": now})
            connection.execute(update(rungs).where(this, rungs.c.rung < rung).values(rung=rung, updated_at=now))

    def rung(self, model_digest: str, device: str, size: str) -> int:
        """The rung that was needed, 0 where nobody knows."""
        this = (rungs.c.model_digest == model_digest) & (rungs.c.device == device) & (rungs.c.size == size)
        with self._read() as connection:
            return connection.execute(select(rungs.c.rung).where(this)).scalar_one_or_none() or 0
