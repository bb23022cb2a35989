"""`limen keys …`: list, rotate and retire the keys that sign access tokens."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from math import isinf
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from limen.cli.apps import AppOption, run
from limen.cli.printing import JsonOption, print_json, print_table
from limen.errors import ConfigurationError

if TYPE_CHECKING:
    from limen.auth import Auth
    from limen.db.signing_keys import KeyStatus, SigningKeys
    from limen.db.users import UserMixin

group = typer.Typer(help="List, rotate and retire signing keys.", no_args_is_help=True)

Kid = Annotated[str, typer.Argument(metavar="KID", help="The key's name, as `limen keys list` shows it.")]

INSTEAD = {
    "secret": "put a new LIMEN_SECRET_KEY in place and the old one into LIMEN_SECRET_KEY_FALLBACKS until its last "
    "refresh token has ended; leave the old one out to refuse all that it signed",
    "file": "put a new key into LIMEN_SIGNING_KEY_FILE and start anew, or unset it to let limen rotate keys by itself",
}


@group.command("list")
def list_keys(app: AppOption = None, as_json: JsonOption = False) -> None:
    """List the keys, those too that are only on record."""
    _report(run(app, _list, started=False), as_json=as_json)


@group.command("rotate")
def rotate(
    now: Annotated[bool, typer.Option("--now", help="Sign with it at once, without an announcement.")] = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Announce a new key; it takes over by itself, and no request fails."""

    async def change(keys: "SigningKeys") -> None:
        await (keys.rotate_now() if now else keys.rotate())

    _report(_change(app, change, said="rotated_now" if now else "rotated"), as_json=as_json)


class OfOneKey(TyperCommand):
    """Takes a key's name as it is: one in 64 begins with a dash, and its letters are no options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put such a name where only arguments stand."""
        names = [each for each in args if _LIKE_AN_OPTION.fullmatch(each)]
        if not names or "--" in args:
            return super().parse_args(ctx, args)
        return super().parse_args(ctx, [*(each for each in args if each not in names), "--", *names])


_LIKE_AN_OPTION = re.compile(r"-[A-Za-z0-9_-]{42}")  # 256 bits in base64url, as RFC 7638 thumbprints are


@group.command("retire", cls=OfOneKey)
def retire(
    kid: Kid,
    now: Annotated[bool, typer.Option("--now", help="Refuse it and all that it signed at once: it leaked.")] = False,
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a key; with --now, refuse it everywhere within a second."""

    async def change(keys: "SigningKeys") -> None:
        try:
            await (keys.retire_now(kid) if now else keys.retire(kid))
        except LookupError:
            raise ConfigurationError(f"There is no live signing key {kid!a}: see `limen keys list`") from None

    _report(_change(app, change, said="refused" if now else "retired", kid=kid), as_json=as_json)


def _change(
    app: str | None, change: "Callable[[SigningKeys], Awaitable[None]]", *, said: str, kid: str | None = None
) -> list[dict[str, object]]:
    """Change the keys of the database; none needs to be opened for it, so it works when the secret is lost too."""

    async def work(auth: "Auth[UserMixin]") -> list[dict[str, object]]:
        from limen.db.signing_keys import SigningKeys
        from limen.events import SigningKeysChanged

        keys = auth.kernel.keys
        if not isinstance(keys, SigningKeys):
            raise ConfigurationError(
                f"The signing key comes from {_setting(auth)}, not from the database: {INSTEAD[_source(auth)]}"
            )
        await _check(auth)
        await change(keys)
        now = auth.kernel.clock.now()
        await auth.kernel.events.publish(SigningKeysChanged(at=now, change=said, kid=kid))
        return await _list(auth)

    return run(app, work, started=False)


async def _list(auth: "Auth[UserMixin]") -> list[dict[str, object]]:
    from limen.db.signing_keys import SigningKeys

    keys = auth.kernel.keys
    if isinstance(keys, SigningKeys):
        await _check(auth)
        return [_described(status) for status in await keys.list_all()]
    signing = keys.ring.signing
    return [
        {
            "kid": key.kid,
            "algorithm": key.algorithm,
            "state": "signing" if signing is not None and key.kid == signing.kid else "verifying",
            "source": _source(auth),
            "created_at": None,
            "signs_from": None,
            "ends_at": None,
        }
        for key in keys.ring.verifying
    ]


async def _check(auth: "Auth[UserMixin]") -> None:
    tables = auth.kernel.tables
    await auth.kernel.database.check((tables.signing_keys, tables.revocations))


def _described(status: "KeyStatus") -> dict[str, object]:
    from limen.db.types import from_epoch

    times = status.times
    return {
        "kid": times.kid,
        "algorithm": times.algorithm,
        "state": status.state.value,
        "source": "database",
        "created_at": from_epoch(times.created_at),
        "signs_from": from_epoch(times.signs_from),
        "ends_at": None if isinf(status.ends_at) else from_epoch(status.ends_at),
    }


def _source(auth: "Auth[UserMixin]") -> str:
    return "secret" if auth.settings.algorithm == "HS256" else "file"


def _setting(auth: "Auth[UserMixin]") -> str:
    return "LIMEN_SECRET_KEY" if _source(auth) == "secret" else "LIMEN_SIGNING_KEY_FILE"


def _report(keys: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        print_json(keys)
    else:
        print_table(("KID", "ALGORITHM", "STATE", "SOURCE", "SIGNS FROM", "ENDS AT"), map(_row, keys))


def _row(key: dict[str, object]) -> tuple[str, ...]:
    moments = (key["signs_from"], key["ends_at"])
    shown = (f"{moment:%Y-%m-%d %H:%M:%S}Z" if isinstance(moment, datetime) else "-" for moment in moments)
    return str(key["kid"]), str(key["algorithm"]), str(key["state"]), str(key["source"]), *shown
