"""What the columns of fastapi-users, Django, Supabase, better-auth and Firebase mean, and those of a plain file."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Protocol

from limen.core.foreign_digests import firebase_digest
from limen.errors import ConfigurationError
from limen.features.imports.service import BadRow, ExternalIdentity, OldUser
from limen.features.imports.sources.rows import Raw, Row, Rows
from limen.features.imports.values import moment, text, truth

FIELDS = ("id", "email", "username", "password_hash", "is_active", "is_verified", "is_superuser", "created_at")
"""What limen's own columns are called in `--map` and in plain files."""

PROVIDERS: Mapping[str, str] = {
    "google": "https://accounts.google.com",
    "apple": "https://appleid.apple.com",
    "github": "https://github.com",
    "discord": "https://discord.com",
    "facebook": "https://www.facebook.com",
    "gitlab": "https://gitlab.com",
}
"""The issuer of each provider whose subjects are the same in every app."""


_SECONDS_END = 100_000_000_000
"""A number of seconds since the epoch is less until the year 5138, and one of milliseconds more since 1973."""


class Product(Protocol):
    """An app's schema.

    Attributes:
        needs: columns without which it is not that app's table, by what they are to limen.
    """

    needs: ClassVar[Mapping[str, str]]

    def fields(self, raw: Raw) -> dict[str, object]:
        """The row in limen's words: `FIELDS`, and `identities` where there are some.

        Raises:
            ValueError: a value cannot be read.
        """
        ...


class Plain:
    """A file or table whose columns have limen's own names."""

    needs: ClassVar[Mapping[str, str]] = {"email": "email"}

    def fields(self, raw: Raw) -> dict[str, object]:
        return {name: raw.get(name) for name in FIELDS}


class FastapiUsers:
    """fastapi-users' `user` table, of SQLAlchemy or SQLModel."""

    needs: ClassVar[Mapping[str, str]] = {"email": "email", "password_hash": "hashed_password"}

    def fields(self, raw: Raw) -> dict[str, object]:
        names = ("id", "email", "is_active", "is_verified", "is_superuser")
        return {**{name: raw.get(name) for name in names}, "password_hash": raw.get("hashed_password")}


class Django:
    """Django's `auth_user`, or a user model of one's own with its columns."""

    needs: ClassVar[Mapping[str, str]] = {"email": "email", "password_hash": "password"}

    def fields(self, raw: Raw) -> dict[str, object]:
        digest = raw.get("password")
        return {
            **{name: raw.get(name) for name in ("id", "email", "username", "is_active", "is_superuser")},
            "password_hash": None if str(digest or "").startswith("!") else digest,  # Django's unusable password
            "created_at": raw.get("date_joined"),
        }


@dataclass(frozen=True, slots=True)
class Supabase:
    """Supabase's `auth.users`, with `auth.identities` where they were read beside it.

    Each user is also the identity that the project's own tokens name, so those go on proving the same account.

    Attributes:
        project_url: `https://<ref>.supabase.co`.
    """

    needs: ClassVar[Mapping[str, str]] = {"email": "email", "password_hash": "encrypted_password"}
    project_url: str

    def fields(self, raw: Raw) -> dict[str, object]:
        if raw.get("deleted_at"):
            raise ValueError("the user was deleted")
        banned = moment(raw.get("banned_until"), of="banned_until")
        return {
            "id": raw.get("id"),
            "email": raw.get("email"),
            "password_hash": raw.get("encrypted_password"),
            "is_active": banned is None or banned <= datetime.now(UTC),
            "is_verified": bool(raw.get("email_confirmed_at")),
            "is_superuser": raw.get("is_super_admin"),
            "created_at": raw.get("created_at"),
            "identities": tuple(self._identities(raw)),
        }

    def _identities(self, raw: Raw) -> Iterator[ExternalIdentity]:
        issuer = f"{self.project_url.rstrip('/')}/auth/v1"
        email = text(raw.get("email"), of="email")
        yield ExternalIdentity(provider="supabase", issuer=issuer, subject=str(raw.get("id") or ""), email=email)
        found = raw.get("identities")
        for each in found if isinstance(found, Sequence) else ():
            if isinstance(each, Mapping) and str(each.get("provider")) in PROVIDERS:
                yield _external(str(each["provider"]), each.get("provider_id") or each.get("id"), each.get("email"))


class BetterAuth:
    """better-auth's `user`, with `account` read beside it: there is the password, and who they are elsewhere.

    Columns are `camelCase`, or `snake_case` where an app's own schema names them so.
    """

    needs: ClassVar[Mapping[str, str]] = {"email": "email"}

    def fields(self, raw: Raw) -> dict[str, object]:
        found = raw.get("identities")
        accounts = [each for each in found if isinstance(each, Mapping)] if isinstance(found, Sequence) else []
        own = next((each for each in accounts if _either(each, "providerId", "provider_id") == "credential"), {})
        return {
            **{name: raw.get(name) for name in ("id", "email", "username")},
            "password_hash": own.get("password"),
            "is_active": not truth(raw.get("banned"), of="banned", default=False),
            "is_verified": _either(raw, "emailVerified", "email_verified"),
            "created_at": _made_at(_either(raw, "createdAt", "created_at")),
            "identities": tuple(self._identities(accounts)),
        }

    def _identities(self, accounts: Sequence[Raw]) -> Iterator[ExternalIdentity]:
        for each in accounts:
            name = str(_either(each, "providerId", "provider_id"))
            if name in PROVIDERS:
                yield _external(name, _either(each, "accountId", "account_id"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HashConfig:
    """Firebase's password hash parameters of a project.

    Raises:
        ConfigurationError: from `parse`, the text is not what the console shows.
    """

    signer_key: str = field(repr=False)
    salt_separator: str
    rounds: int
    memory_cost: int

    @classmethod
    def parse(cls, shown: str) -> "HashConfig":
        """The parameters in the text that the console shows: Authentication, Users, ⋮, Password hash parameters."""
        found = dict(re.findall(r"(\w+)\s*:\s*([A-Za-z0-9+/=_-]+)", shown))
        try:
            return cls(
                signer_key=found["base64_signer_key"],
                salt_separator=found.get("base64_salt_separator", ""),
                rounds=int(found["rounds"]),
                memory_cost=int(found["mem_cost"]),
            )
        except (KeyError, ValueError):
            raise ConfigurationError(
                "The hash parameters are not as Firebase's console shows them: hash_config { algorithm: SCRYPT, "
                "base64_signer_key: …, base64_salt_separator: …, rounds: …, mem_cost: …, }"
            ) from None


@dataclass(frozen=True, slots=True)
class Firebase:
    """The users of `firebase auth:export users.json`."""

    needs: ClassVar[Mapping[str, str]] = {}
    config: HashConfig | None

    def fields(self, raw: Raw) -> dict[str, object]:
        return {
            "id": raw.get("localId"),
            "email": raw.get("email"),
            "password_hash": self._digest(raw),
            "is_active": not truth(raw.get("disabled"), of="disabled", default=False),
            "is_verified": raw.get("emailVerified"),
            "created_at": _milliseconds(raw.get("createdAt")),
            "identities": tuple(self._identities(raw)),
        }

    def _digest(self, raw: Raw) -> str | None:
        key, salt = raw.get("passwordHash"), raw.get("salt")
        if not key:
            return None
        if not salt:
            raise ValueError("the salt is missing: export again with the right to see hashes (getHashConfig)")
        if self.config is None:
            raise ValueError("the user has a password, and no hash parameters were given")
        config = self.config
        return firebase_digest(
            key=str(key),
            salt=str(salt),
            signer_key=config.signer_key,
            salt_separator=config.salt_separator,
            rounds=config.rounds,
            memory_cost=config.memory_cost,
        )

    def _identities(self, raw: Raw) -> Iterator[ExternalIdentity]:
        found = raw.get("providerUserInfo")
        for each in found if isinstance(found, list) else ():
            name = str(each.get("providerId")).removesuffix(".com") if isinstance(each, Mapping) else ""
            if name in PROVIDERS:
                yield _external(name, each.get("rawId"), each.get("email"))


class Users:
    """The users in some rows, as a `Source`.

    Args:
        renamed: `FIELDS` or columns of the app's own, by the source's column that they come from instead.
        own: the app's own columns.

    Raises:
        ConfigurationError: `renamed` names a column that cannot be set.
    """

    def __init__(self, rows: Rows, product: Product, *, renamed: Mapping[str, str], own: Sequence[str]) -> None:
        for name in renamed:
            if name not in FIELDS and name not in own:
                choices = ", ".join((*FIELDS, *own))
                raise ConfigurationError(f"--map {name}={renamed[name]}: {name!a} is none of {choices}")
        self.name = rows.name
        self._rows = rows
        self._product = product
        self._renamed = renamed

    async def batches(self) -> AsyncIterator[Sequence[OldUser | BadRow]]:
        await self._check_columns()
        async for batch in self._rows.batches():
            yield [self._user(row) for row in batch]

    async def _check_columns(self) -> None:
        columns = await self._rows.columns()
        if columns is None:
            return
        theirs = {**self._product.needs, **self._renamed}
        missing = [column for column in theirs.values() if column not in columns]
        if missing:
            raise ConfigurationError(
                f"{self.name} has no column {missing[0]!a}; name another with --map, for example --map email=mail"
            )

    def _user(self, row: Row) -> OldUser | BadRow:
        if row.problem:
            return BadRow(number=row.number, reason=row.problem)
        try:
            return self._read(row)
        except ValueError as error:
            return BadRow(number=row.number, reason=str(error))

    def _read(self, row: Row) -> OldUser:
        fields = self._product.fields(row.raw)
        own: dict[str, object] = {}
        for name, column in self._renamed.items():
            target = fields if name in FIELDS else own
            target[name] = row.raw.get(column)
        identities = fields.get("identities")
        key = fields.get("id")
        return OldUser(
            number=row.number,
            id=key if isinstance(key, int) else text(key, of="id"),
            email=_text(fields, "email") or "",
            username=_text(fields, "username"),
            digest=_text(fields, "password_hash"),
            is_active=truth(fields.get("is_active"), of="is_active", default=True),
            is_verified=truth(fields.get("is_verified"), of="is_verified", default=False),
            is_superuser=truth(fields.get("is_superuser"), of="is_superuser", default=False),
            created_at=moment(fields.get("created_at"), of="created_at"),
            values=own,
            identities=identities if isinstance(identities, tuple) else (),
        )


def _text(fields: Mapping[str, object], name: str) -> str | None:
    found = text(fields.get(name), of=name)
    return found.strip() if found else None


def _either(raw: Raw, camel: str, snake: str) -> object:
    return raw[camel] if camel in raw else raw.get(snake)


def _made_at(value: object) -> object:
    """SQLite keeps moments as ISO 8601 or, where drizzle writes them, as a number of seconds or milliseconds."""
    if not isinstance(value, int):
        return value
    return _milliseconds(value if value > _SECONDS_END else value * 1000)


def _external(provider: str, subject: object, email: object) -> ExternalIdentity:
    known = str(subject) if isinstance(subject, str | int) else ""
    address = text(email, of="the e-mail address of an identity") if isinstance(email, str) else None
    return ExternalIdentity(provider=provider, issuer=PROVIDERS[provider], subject=known, email=address)


def _milliseconds(value: object) -> datetime | None:
    if not value:
        return None
    try:
        return datetime.fromtimestamp(int(str(value)[:20]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError("createdAt is not a number of milliseconds") from None
