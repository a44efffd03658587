"""What was learnt about machines: nodes that get no work, and how much memory a model needed."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select, update

from .database import Database, clock
from .rows import storable
from .tables import asides, insert_new, rungs


class Nodes(Database):
    """The part of the ledger about nodes and their memory."""

    def set_aside(self, host: str, reason: str, seconds: float | None = None) -> None:
        """Give a node no work until it is taken back, or for so many seconds. Set aside twice is set aside once, for
        the first reason."""
        with self._write() as connection:
            now = clock(connection)
            if connection.execute(select(asides.c.id).where(asides.c.host == host, _still(now))).first():
                return
            until = None if seconds is None else now + round(seconds * 1e6)
            row = {"host": host, "reason": storable(reason), "created_at": now, "ended_at": until}
            connection.execute(insert_new(connection, asides), row)

    def take_back(self, host: str) -> bool:
        """Let a node work again; False when it was not set aside."""
        with self._write() as connection:
            now = clock(connection)
            open_ = update(asides).where(asides.c.host == host, _still(now))
            return connection.execute(open_.values(ended_at=now)).rowcount > 0

    def aside(self) -> dict[str, str]:
        """Host -> why it gets no work, of all nodes that are set aside now."""
        with self._read() as connection:
            those = select(asides.c.host, asides.c.reason).where(_still(clock(connection)))
            return {row.host: row.reason for row in connection.execute(those.order_by(asides.c.host))}

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


def _still(now: int) -> ColumnElement[bool]:
    """Rows of nodes that are set aside at that moment: with no end, or one that is to come."""
    return asides.c.ended_at.is_(None) | (asides.c.ended_at > now)
