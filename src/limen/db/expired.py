"""Deletes what has expired, so many rows at a time that nobody waits for it."""

from sqlalchemy import ColumnElement, Table, delete, select, tuple_

from limen.db.database import Database

AT_ONCE = 1000


async def delete_expired(database: Database, table: Table, expired: ColumnElement[bool]) -> int:
    """Delete the rows of a table that are `expired`; how many they were.

    Raises:
        Unavailable: the database is down; what was deleted before stays so.
    """
    key = tuple(table.primary_key.columns)
    some = select(*key).where(expired).limit(AT_ONCE)
    is_one = key[0].in_(some) if len(key) == 1 else tuple_(*key).in_(some)
    statement = delete(table).where(is_one, expired).returning(key[0])
    deleted = 0
    while gone := len(await database.write(statement)):
        deleted += gone
        if gone < AT_ONCE:
            break
    return deleted
