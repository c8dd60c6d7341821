"""Who may do what only one may do: a role with an epoch (design §3.5).

In:  a holder and how long it means to hold. Out: the epoch under which its writes count.
Not here: keeping the role (tenure.py).

Time only decides when a takeover may be tried; the epoch, raised here, decides whether a write counts. Who writes in a
role holds its row (`FOR KEY SHARE`) to the end of the transaction, and who takes it waits for them (`FOR UPDATE`):
after a takeover nothing of an older epoch can be committed any more. Renewing keeps nobody waiting.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from oscar_events.errors import FencedError
from oscar_events.ledger.port import now
from oscar_events.ledger.rows import insert_unless_there
from oscar_events.ledger.tables import roles

SCHEDULER = "scheduler"

_epoch = select(roles.c.epoch).where(roles.c.name == bindparam("role")).with_for_update(read=True, key_share=True)

# For units that read something anyway: select this column beside it and pass it to `check`.
scheduler_epoch = (
    select(roles.c.epoch)
    .where(roles.c.name == SCHEDULER)
    .with_for_update(read=True, key_share=True)
    .scalar_subquery()
    .label("scheduler_epoch")
)
_present = select(roles).where(roles.c.name == bindparam("role"))
_held = _present.with_for_update()


def take(connection: Connection, role: str, holder: str, ttl_ms: int, *, at_once: bool = False) -> int | None:
    """Return the new epoch if the role was free, expired or the holder's own; None while somebody else holds it.

    at_once: the caller knows by other means that no other holder lives (`up` holds the directory's lock).
    """
    time = now(connection)

    def is_held(row: Row[Any]) -> bool:
        return not at_once and row.holder != holder and row.expires_at > time

    # First without the lock: standbys ask again and again, and must not stand in the holder's way.
    seen = connection.execute(_present, {"role": role}).one_or_none()
    if seen is None:
        insert_unless_there(connection, roles, [{"name": role, "holder": "", "epoch": 0, "expires_at": 0}])
    elif is_held(seen):
        return None
    found = connection.execute(_held, {"role": role}).one()
    if is_held(found):
        return None
    epoch = int(found.epoch) + 1
    values = {"holder": holder, "epoch": epoch, "expires_at": time + ttl_ms}
    connection.execute(update(roles).where(roles.c.name == role).values(values))
    return epoch


def renew(connection: Connection, role: str, epoch: int, ttl_ms: int) -> None:
    """Hold the role for longer. Raises FencedError if the epoch is over."""
    held = connection.execute(
        update(roles).where(roles.c.name == role, roles.c.epoch == epoch).values(expires_at=now(connection) + ttl_ms)
    )
    if held.rowcount != 1:
        raise FencedError(f"the role of {role} passed to somebody else after epoch {epoch}")


def release(connection: Connection, role: str, epoch: int) -> None:
    """Let anybody take the role from now on; nothing if it has passed to somebody else already."""
    connection.execute(
        update(roles).where(roles.c.name == role, roles.c.epoch == epoch).values(expires_at=now(connection))
    )


def require(connection: Connection, role: str, epoch: int) -> None:
    """Raise FencedError unless the epoch is the present one; every unit that writes in a role does this or `check`."""
    check(role, connection.scalar(_epoch, {"role": role}), epoch)


def check(role: str, present: int | None, epoch: int) -> None:
    """Raise FencedError unless the present epoch, as this transaction sees it, is the one held."""
    if present != epoch:
        raise FencedError(f"the role of {role} is at epoch {present}, this process holds {epoch}")
