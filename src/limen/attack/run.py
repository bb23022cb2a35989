"""The attack as one call: on an app in this process, or on a server of this machine."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from limen.attack.asking import InProcess, Loopback
from limen.attack.campaign import Bounds, Campaign
from limen.attack.people import cast_by_http, cast_in_process, dismiss
from limen.attack.report import Report
from limen.attack.routes import Attackable, attackable
from limen.auth import Auth
from limen.db.users import UserMixin


async def attack_in_process(
    auth: Auth[UserMixin], app: ASGIApp, *, bounds: Bounds | None = None, may_write: bool = False
) -> Report:
    """Attack an app whose lifespan is running, on a database to throw away: three accounts are made in it."""
    cast = await cast_in_process(auth)
    campaign = Campaign(InProcess(app), cast, bounds=bounds or Bounds(), may_write=may_write)
    return await campaign.run(_routes(auth), _document(auth.app))


async def attack_by_http(
    auth: Auth[UserMixin], url: str, *, bounds: Bounds | None = None, may_write: bool = False
) -> Report:
    """Attack a server of this machine that serves this app; two accounts register there and are deleted again.

    Raises:
        ConfigurationError: the address is another machine's.
    """
    async with Loopback(url) as asking:
        cast = await cast_by_http(auth, asking)
        try:
            campaign = Campaign(asking, cast, bounds=bounds or Bounds(), may_write=may_write)
            return await campaign.run(_routes(auth), _document(auth.app))
        finally:
            await dismiss(auth, asking, cast)


def _routes(auth: Auth[UserMixin]) -> tuple[Attackable, ...]:
    own = (auth.kernel.auth_prefix, auth.kernel.users_prefix, "/.well-known")
    return attackable(auth.routes(), prefixes=own)


def _document(app: FastAPI | None) -> dict[str, object]:
    return {} if app is None else app.openapi()
