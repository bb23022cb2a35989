"""Whose an account is: how everything of it is refused at once, and what is taken back when its owner shows up."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.client import NOWHERE, Client
from limen.core.revocations import Revocation, Revoked
from limen.errors import NotFound
from limen.events import AccountDisowned, Event, SessionsEnded
from limen.feature import features_of
from limen.kernel import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Disowned:
    """What a transaction took back from an account; `report` it after the commit."""

    revocations: tuple[Revocation, ...]
    events: tuple[Event, ...]


async def lock_out(kernel: Kernel, connection: AsyncConnection, user_id: object) -> Revocation:
    """Refuse whatever was made with the rights that a user had until now, in a caller's transaction.

    That is every principal that a worker remembers of theirs, whoever vouched for it. The caller applies the revocation
    after its commit; other workers hear of it from the log.

    Raises:
        NotFound: there is no such user.
    """
    epoch = await kernel.rights.count(connection, user_id)
    if epoch is None:
        raise NotFound("no such user", user=user_id)
    entry = kernel.users.lockout(user_id, epoch=epoch)
    await kernel.revocation_log.append(connection, [entry])
    return entry


async def shut_out(
    kernel: Kernel, connection: AsyncConnection, user_id: object, *, reason: str
) -> tuple[Revocation, ...]:
    """The same, and every session of theirs ends.

    Raises:
        NotFound: there is no such user.
    """
    entry = await lock_out(kernel, connection, user_id)
    return (*await kernel.sessions.end_all_within(connection, user_id, reason=reason), entry)


async def disown(
    kernel: Kernel, connection: AsyncConnection, user_id: object, *, reason: str, client: Client = NOWHERE
) -> Disowned:
    """Take back every way into an account, since they may be a stranger's: its owner has only just shown up.

    Password, keys, identities, sessions and whatever was asked for by mail go, in the caller's transaction.

    Raises:
        NotFound: there is no such user.
    """
    subject, now = str(user_id), kernel.clock.now()
    await kernel.identities.forget_all_within(connection, user_id)
    taken = [entry for feature in features_of(kernel) for entry in await feature.disown(connection, user_id)]
    await kernel.one_time.void_all_within(connection, subject)
    taken += await shut_out(kernel, connection, user_id, reason=reason)
    events = (
        AccountDisowned(at=now, subject=subject, client=client, reason=reason),
        SessionsEnded(at=now, subject=subject, client=client, session_ids=_sessions(taken), reason=reason),
    )
    for event in events:
        await kernel.events.record(connection, event)
    return Disowned(revocations=tuple(taken), events=events)


async def report(kernel: Kernel, disowned: Disowned) -> None:
    """Let what a committed transaction took back take effect here, and tell who listens."""
    kernel.revocation_log.apply(disowned.revocations)
    for event in disowned.events:
        await kernel.events.publish(event)


def _sessions(taken: Iterable[Revocation]) -> tuple[str, ...]:
    return tuple(entry.target for entry in taken if entry.kind is Revoked.SESSION)
