"""Where secrets must not be: whatever limen hands out in a test is looked for in what that test left behind.

The functions that make secrets are listened to, unchanged. What is searched: the database of the test as it is at the
end, byte by byte; the log as an operator keeps it; the events; every refusal that a browser of the tests saw. What is
made in other processes is not known here, and a row that was deleted meanwhile is gone.
"""

import logging
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from limen.core.checked_token import CheckedToken
from limen.core.devices import Devices
from limen.core.opaque import OpaqueToken, RefreshTokens
from limen.core.passwords import PasswordHasher
from limen.db.one_time import OneTimeSecrets
from limen.features.tokens.service import TokenService

LEAST = 12
"""Characters from which a password can be told from chance."""

MANY = 500
"""Secrets from which they are looked for together."""

CLIENTS = ("httpx2", "aiosqlite", "sqlalchemy", "asyncio", "psycopg", "uvicorn", "oidc_provider_mock", "werkzeug")
"""Loggers of others, clients and servers of the tests among them: what they say is not limen's to decide."""


class Disclosure:
    """What was handed out since the test began, and what was said since."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.said: list[tuple[str, str]] = []

    def begin(self) -> None:
        """Forget the test before."""
        self.secrets.clear()
        self.said.clear()

    def issued(self, kind: str, secret: str) -> None:
        """limen handed this out, or a person chose it and limen took it."""
        if len(secret) >= LEAST:
            self.secrets[secret] = kind

    def hear(self, place: str, text: str) -> None:
        """Something that others may read was said."""
        self.said.append((place, text))

    def check_database(self, url: str) -> None:
        """No secret is in the database at this URL."""
        if self.secrets:
            self._check("database", contents_of(url))

    def check_said(self) -> None:
        """No secret was said."""
        for place in dict.fromkeys(place for place, _ in self.said) if self.secrets else ():
            words = "\n".join(text for where, text in self.said if where == place)
            self._check(place, words.encode("utf-8", "surrogatepass"))

    def _check(self, place: str, content: bytes) -> None:
        kinds = {form: kind for secret, kind in self.secrets.items() for form in forms_of(secret)}
        for form, at in (found_each_by_itself if len(kinds) < MANY else found_together)(kinds, content):
            raise AssertionError(f"{kinds[form]} is in the {place}: …{content[max(0, at - 80) : at]!r}")


def forms_of(secret: str) -> tuple[bytes, bytes]:
    """A secret as it is, and in hex."""
    plain = secret.encode("utf-8", "surrogatepass")
    return plain, plain.hex().encode()


def found_each_by_itself(forms: Collection[bytes], content: bytes) -> Iterator[tuple[bytes, int]]:
    """Which of these are in there, and where: one pass for each."""
    return ((form, at) for form in forms if (at := content.find(form)) >= 0)


def found_together(forms: Collection[bytes], content: bytes) -> Iterator[tuple[bytes, int]]:
    """The same in one pass for all, which looks at every place: for thousands."""
    begun: dict[bytes, list[bytes]] = {}
    for form in forms:
        begun.setdefault(form[:LEAST], []).append(form)
    places = (at for at in range(len(content)) if content[at : at + LEAST] in begun)
    return ((form, at) for at in places for form in begun[content[at : at + LEAST]] if content.startswith(form, at))


DISCLOSURE = Disclosure()


class _Log(logging.Handler):
    """Keeps whole lines, with their arguments filled in and their tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] in CLIENTS:
            return
        cause = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        DISCLOSURE.hear("log", f"{record.name} {record.getMessage()} {cause}")


def last_part(token: str) -> str:
    """What proves: the signature of a JWT, the mac of a refresh token."""
    return token.rpartition(".")[2]


def listened(kind: str, secret_of: Callable[[Any], str], make: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; what it makes is noted."""

    @wraps(make)
    def made(*call: Any, **options: Any) -> Any:
        thing = make(*call, **options)
        DISCLOSURE.issued(kind, secret_of(thing))
        return thing

    return made


@pytest.fixture(scope="session", autouse=True)
def makers_of_secrets() -> Iterator[None]:
    """Listen to whatever makes secrets, for as long as the tests run."""
    row, hash_password = OneTimeSecrets._row, PasswordHasher.hash

    def issued(store: OneTimeSecrets, kind: str, secret: str, *more: Any) -> Any:
        DISCLOSURE.issued("a one-time secret", secret)
        return row(store, kind, secret, *more)

    async def hashed(hasher: PasswordHasher, password: str, *more: Any, **options: Any) -> Any:
        DISCLOSURE.issued("a password", password)
        return await hash_password(hasher, password, *more, **options)

    with pytest.MonkeyPatch.context() as patch:
        for owner, kind, secret_of in (
            (CheckedToken, "a key or client secret", lambda token: token.secret),
            (OpaqueToken, "a session cookie", lambda token: token.secret),
            (Devices, "a device cookie", last_part),
        ):
            patch.setattr(owner, "mint", listened(kind, secret_of, owner.mint))
        patch.setattr(RefreshTokens, "sign", listened("a refresh token", last_part, RefreshTokens.sign))
        patch.setattr(TokenService, "_access_token", listened("an access token", last_part, TokenService._access_token))
        patch.setattr(OneTimeSecrets, "_row", issued)
        patch.setattr(PasswordHasher, "hash", hashed)
        yield


@pytest.fixture(autouse=True)
def nothing_disclosed(makers_of_secrets: None) -> Iterator[Disclosure]:
    """After every test: no secret of it was said. Fixtures that end a database search that first."""
    DISCLOSURE.begin()
    root, own, handler = logging.getLogger(), logging.getLogger("limen"), _Log()
    level = own.level
    root.addHandler(handler)
    if own.level == logging.NOTSET:
        own.setLevel(logging.INFO)
    yield DISCLOSURE
    root.removeHandler(handler)
    own.setLevel(level)
    DISCLOSURE.check_said()


def contents_of(url: str) -> bytes:
    """Everything in a database: the bytes of SQLite's files, every row of PostgreSQL's tables as text."""
    if not url.startswith("sqlite"):
        return _rows_of(url)
    path = Path(url.partition("///")[2])
    return b"".join(file.read_bytes() for file in (path, Path(f"{path}-wal")) if file.is_file())


def _rows_of(url: str) -> bytes:
    import psycopg

    parts = urlsplit(url)
    dsn = f"postgresql://{parts.netloc}{parts.path}"
    with closing(psycopg.connect(dsn, autocommit=True, connect_timeout=5)) as connection:
        tables = connection.execute(
            "SELECT format('SELECT t::text FROM %I.%I t', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        if not tables:
            return b""
        rows = connection.execute(" UNION ALL ".join(select for (select,) in tables).encode()).fetchall()
    return "\n".join(row for (row,) in rows).encode()
