"""Who renders which clip, where several producers share a ledger and want the same clips.

A claim on a clip is a lease as on a film: an owner, an expiry and a fence. Nobody waits for anybody: a producer is
given clips that are free now (on Postgres, SKIP LOCKED passes over rows that another is claiming at this moment), or
none. A claim spares work and decides nothing else: should two finish the same clip all the same, the first is
accepted, and the second is told which one that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, or_, select, update

from .database import CHUNK, Database, clock, select_in
from .leases import TTL, held_from, owner_of, shorten
from .owner import Owner
from .states import AttemptState, TakeState
from .tables import attempts, insert_new, leases, takes

CLIP = "clip:"
"""What the name of a clip's lease begins with."""


_LET_GO = (
    update(leases)
    .where(leases.c.resource == bindparam("name"), leases.c.fence == bindparam("held"), leases.c.host.is_not(None))
    .values(host=None)
)


@dataclass(frozen=True, slots=True)
class ClipClaim:
    """The right to render a clip, until it is released or expires unrenewed."""

    key: str
    fence: int


class ClipLeases(Database):
    """The part of the ledger that gives out clips."""

    def claim_clips(
        self, keys: Sequence[str], most: int = 1, owner: Owner | None = None, ttl: float = TTL
    ) -> list[ClipClaim]:
        """Up to `most` of these clips that have no take and that nobody alive has claimed; [] when there are none now.

        Attempts that a dead owner left running become lost.
        """
        owner = owner or Owner.here()
        claimed: list[ClipClaim] = []
        with self._write() as connection:
            wanted = _without_take(connection, keys)
            for start in range(0, len(wanted), CHUNK):
                names = [CLIP + key for key in wanted[start : start + CHUNK]]
                _make(connection, names)
                now = clock(connection)
                rows = connection.execute(_free(connection, names, now).limit(most - len(claimed))).all()
                # Who held one of them until now may have finished it in the meantime.
                open_keys = set(_without_take(connection, [row.resource.removeprefix(CLIP) for row in rows]))
                mine = [row for row in rows if row.resource.removeprefix(CLIP) in open_keys and _takeable(row, now)]
                for row in mine:
                    _take_over(connection, row, row.resource.removeprefix(CLIP), now)
                held = update(leases).where(leases.c.resource.in_([row.resource for row in mine]))
                connection.execute(held.values(held_from(owner, now, ttl) | {"fence": leases.c.fence + 1}))
                claimed += [ClipClaim(row.resource.removeprefix(CLIP), row.fence + 1) for row in mine]
                if len(claimed) >= most:
                    break
        return claimed

    def renew_clips(self, claims: Iterable[ClipClaim], ttl: float = TTL) -> list[ClipClaim]:
        """Say that we are alive; the claims that are still ours. The others are another's now."""
        kept = []
        with self._write() as connection:
            until = clock(connection) + int(ttl * 1e6)
            for claim in sorted(claims, key=lambda each: each.key):
                held = update(leases).where(*_held_by(claim)).values(expires_at=until, ttl=int(ttl * 1e6))
                if connection.execute(held).rowcount:
                    kept.append(claim)
        return kept

    def release_clips(self, claims: Iterable[ClipClaim]) -> None:
        """Let others claim these clips. Claims that were lost stay with who has them now."""
        given_back = [{"name": CLIP + c.key, "held": c.fence} for c in sorted(claims, key=lambda each: each.key)]
        if not given_back:
            return
        with self._write() as connection:
            connection.execute(_LET_GO, given_back)


def _without_take(connection: Connection, keys: Sequence[str]) -> list[str]:
    query = select(takes.c.key).where(takes.c.state == TakeState.ACCEPTED)
    done = {row.key for row in select_in(connection, query, takes.c.key, keys)}
    return [key for key in dict.fromkeys(keys) if key not in done]


def _make(connection: Connection, names: Sequence[str]) -> None:
    """Rows for clips that were never claimed. Sorted, so that no two who make them wait for each other in a ring."""
    known = {row.resource for row in select_in(connection, select(leases.c.resource), leases.c.resource, names)}
    fresh = [{"resource": name, "fence": 0} for name in sorted(names) if name not in known]
    if fresh:
        connection.execute(insert_new(connection, leases), fresh)


def _free(connection: Connection, names: Sequence[str], now: int) -> Select[Any]:
    """The rows that nobody alive holds, locked; those that another is claiming now are passed over."""
    held = connection.execute(select(leases).where(leases.c.resource.in_(names), leases.c.host.is_not(None))).all()
    for row in held:
        shorten(connection, row, now)
    takeable = [row.resource for row in held if _takeable(row, now)]
    return (
        select(leases)
        .where(leases.c.resource.in_(names), or_(leases.c.host.is_(None), leases.c.resource.in_(takeable)))
        .order_by(leases.c.resource)
        .with_for_update(skip_locked=True)
    )


def _takeable(row: Row[Any], now: int) -> bool:
    """Asked again when the row is locked: another may have been quicker."""
    if row.host is None:
        return True
    alive = owner_of(row).alive()
    return alive is False or (alive is None and row.expires_at <= now)


def _take_over(connection: Connection, row: Row[Any], key: str, now: int) -> None:
    """What the last, dead owner left running is lost."""
    if row.host is None:
        return
    connection.execute(
        update(attempts)
        .where(attempts.c.key == key, attempts.c.host == row.host, attempts.c.pid == row.pid)
        .where(attempts.c.state == AttemptState.RUNNING)
        .values(state=AttemptState.LOST, ended_at=now, message="its process died")
    )


def _held_by(claim: ClipClaim) -> tuple[Any, ...]:
    return leases.c.resource == CLIP + claim.key, leases.c.fence == claim.fence, leases.c.host.is_not(None)
