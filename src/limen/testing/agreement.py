"""Whether a rule over objects says of each object what its condition finds in a list."""

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.interfaces import ORMOption

from limen.authorization import Authorization
from limen.core.principal import Principal


async def assert_filter_agrees(
    auth: Authorization, session: AsyncSession, principal: Principal, needed: str, model: type, *options: ORMOption
) -> int:
    """Look at every row of `model`: the filter finds it if, and only if, the rules allow it to this principal.

    Give it rows of every kind and, in a property test, any principals; a rule with a `where=` of its own needs it most.

    Args:
        options: loads what the rule reads, as `selectinload(Item.members)`.

    Returns:
        how many rows were allowed, so that the test can see that it was some and not all.

    Raises:
        AssertionError: they disagree about a row.
    """
    every: list[Any] = list((await session.scalars(select(model).options(*options))).unique())
    listed: Select[Any] = select(model).where(auth.filter(principal, needed, model)).options(*options)
    found = {id(row) for row in (await session.scalars(listed)).unique()}
    for row in every:
        is_allowed = await auth.object_rules.allows(principal, needed, row)
        assert is_allowed == (id(row) in found), (
            f"{needed}: {auth.object_rules.find(needed, model)} {'allows' if is_allowed else 'refuses'} {row!r}, "
            f"and its condition {'finds' if id(row) in found else 'does not find'} it"
        )
    return len(found)
