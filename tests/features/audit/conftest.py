"""An app with every default feature and its record."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from tests.features.mini_app import MiniApp, features_of

from limen import ApiKeys, Services
from limen.core.audit_chain import Entry
from limen.features import Audit

OpenAudited = Callable[..., Awaitable[MiniApp]]


@pytest.fixture
def open_audited(opened: Callable[..., Any]) -> OpenAudited:
    """Opens the app with `Audit(…)` as given; nothing is skipped unless a test says so."""

    async def open_one(*, routes: Any = None, settings: Any = None, **options: Any) -> MiniApp:
        features = features_of(ApiKeys(), Services(), Audit(**{"skip": (), **options}))
        mini: MiniApp = await opened(features=features, routes=routes, settings=settings)
        return mini

    return open_one


@pytest.fixture
async def mini(open_audited: OpenAudited) -> MiniApp:
    return await open_audited()


async def entries(mini: MiniApp, **which: Any) -> list[Entry]:
    """The record, the oldest first."""
    return list(reversed(await mini.auth[Audit].list(**{"limit": 200, **which})))


async def names(mini: MiniApp, **which: Any) -> list[str]:
    return [entry.event for entry in await entries(mini, **which)]


async def sql(mini: MiniApp, statement: str, **values: Any) -> Any:
    """What somebody does who can write to the database."""
    async with mini.auth.kernel.database.engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return result.all() if result.returns_rows else None
