"""Who may do what only one may do: a role with an epoch (design §3.5).

In:  a holder and how long it means to hold. Out: the epoch under which its writes count.
Not here: keeping the role (oscar_dispatcher/role.py).

Time only decides when a takeover may be tried; the epoch, raised here, decides whether a write counts.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from oscar_events.errors import FencedError
from oscar_events.ledger.port import now
from oscar_events.ledger.tables import roles

SCHEDULER = "scheduler"

_epoch = select(roles.c.epoch).where(roles.c.name == bindparam("role"))

# For units that read something anyway: select this column beside it and pass it to `check`.
scheduler_epoch = select(roles.c.epoch).where(roles.c.name == SCHEDULER).scalar_subquery().label("scheduler_epoch")


def take(connection: Connection, role: str, holder: str, ttl_ms: int, *, at_once: bool = False) -> int | None:
    """Return the new epoch if the role was free, expired or the holder's own; None while somebody else holds it.

    at_once: the caller knows by other means that no other holder lives (`up` holds the directory's lock).
    """
    time = now(connection)
    found = connection.execute(select(roles).where(roles.c.name == role)).one_or_none()
    if found is None:
        connection.execute(insert(roles).values(name=role, holder=holder, epoch=1, expires_at=time + ttl_ms))
        return 1
    if not at_once and found.holder != holder and found.expires_at > time:
        return None
    taken = connection.execute(
        update(roles)
        .where(roles.c.name == role, roles.c.epoch == found.epoch)
        .values(holder=holder, epoch=found.epoch + 1, expires_at=time + ttl_ms)
    )
    return found.epoch + 1 if taken.rowcount == 1 else None


def renew(connection: Connection, role: str, epoch: int, ttl_ms: int) -> None:
    """Hold the role for longer. Raises FencedError if the epoch is over."""
    held = connection.execute(
        update(roles).where(roles.c.name == role, roles.c.epoch == epoch).values(expires_at=now(connection) + ttl_ms)
    )
    if held.rowcount != 1:
        raise FencedError(f"the role of {role} passed to somebody else after epoch {epoch}")


def require(connection: Connection, role: str, epoch: int) -> None:
    """Raise FencedError unless the epoch is the present one; every unit that writes in a role does this or `check`."""
    check(role, connection.scalar(_epoch, {"role": role}), epoch)


def check(role: str, present: int | None, epoch: int) -> None:
    """Raise FencedError unless the present epoch, as this transaction sees it, is the one held."""
    if present != epoch:
        raise FencedError(f"the role of {role} is at epoch {present}, this process holds {epoch}")
