"""Decides which accounts of another app are taken over, and as what.

Not a feature of an `Auth`: it adds no routes and no tables, and is there for every app that has passwords.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from limen.core.identity import Identity, canonical_email, username_identity
from limen.core.passwords import check_digest
from limen.db.database import ConstraintViolation, UniqueViolation
from limen.errors import ConfigurationError, Conflict, Unprocessable
from limen.events import AccountsImported
from limen.features.imports.store import Arrival, ExternalIdentity, ImportStore
from limen.features.imports.values import column_value
from limen.features.passwords.service import PasswordService
from limen.kernel import Kernel

__all__ = ["BadRow", "ExternalIdentity", "Imports", "OldUser", "Report", "Source", "Terms"]

MAX_LISTED = 100_000
"""Rows that a report names one by one: more of them mean that the columns were mapped wrongly."""

MAX_TEXT = 255
_BARE_UUID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldUser:
    """Somebody as the other app knew them.

    Attributes:
        number: of the row, from 1 on, in the order of the source.
        id: their key there.
        digest: what the other app kept of the password; None for no password.
        values: of the app's own columns.
    """

    number: int
    id: object = None
    email: str
    username: str | None = None
    digest: str | None = field(default=None, repr=False)
    is_active: bool = True
    is_verified: bool = False
    is_superuser: bool = False
    created_at: datetime | None = None
    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    identities: tuple[ExternalIdentity, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that was left out. The reason quotes nothing of it: it holds a password's digest."""

    number: int
    reason: str
    id: str | None = None


class Source(Protocol):
    """Where users come from.

    Attributes:
        name: for the report; holds no password.
    """

    @property
    def name(self) -> str: ...

    def batches(self) -> AsyncIterator[Sequence[OldUser | BadRow]]:
        """The users, some hundreds at a time, so that memory does not grow with their number."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms users are taken over.

    Attributes:
        roles: of each; None for the app's default ones.
        superuser_roles: of the other app's superusers, beside these.
        keep_ids: whether their keys are kept; the user table's key must be of the same type.
        all_verified: the other app vouches for every address.
        without_usernames: only the addresses are taken over.
        without_unreadable_passwords: a user whose digest cannot be checked comes without it, to choose a new password.
        dry_run: nothing is written, and the report says what would be.
    """

    roles: tuple[str, ...] | None = None
    superuser_roles: tuple[str, ...] = ()
    keep_ids: bool = False
    all_verified: bool = False
    without_usernames: bool = False
    without_unreadable_passwords: bool = False
    dry_run: bool = False


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of every row; the four counts add up to `read`."""

    source: str
    dry_run: bool
    read: int = 0
    imported: int = 0
    already_there: int = 0
    refused: int = 0
    without_password: int = 0
    identities: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)

    def refuse(self, row: BadRow) -> None:
        """Count a row that was left out, and name it."""
        self.refused += 1
        if len(self.bad_rows) < MAX_LISTED:
            self.bad_rows.append(row)

    def count(self, arrival: Arrival) -> None:
        """Count a row that was taken over."""
        self.imported += 1
        self.identities += len(arrival.identities)
        self.without_password += arrival.digest is None


Claim = Callable[[str, int], int | None]
"""Notes which row has a name; the row that had it before, if one had."""


class _Refused(Exception):
    """Why a row is left out."""


class Imports:
    """Takes over the accounts of another app, each whole or not at all, none twice and none over another.

    Its password digests are kept as they are and replaced at each owner's first sign-in.

    Args:
        kernel: of the `Auth` that takes over.

    Raises:
        ConfigurationError: a role that the app does not declare.
        MissingFeature: the `Auth` has no passwords.
    """

    def __init__(self, kernel: Kernel, terms: Terms | None = None) -> None:
        self._kernel = kernel
        self._terms = terms or Terms()
        self._store = ImportStore(kernel, kernel.service(PasswordService))
        self._check_roles((*(self._terms.roles or ()), *self._terms.superuser_roles))

    async def run(self, source: Source) -> Report:
        """Take over whatever the source has and the app has not; running it again goes on where it ended.

        An account is there already when one has its canonical e-mail address: it is counted and left as it is.

        Raises:
            ConfigurationError: the source cannot be read.
            Unavailable: the database went away; what was reported before is kept, so run it again.
        """
        report = Report(source=source.name, dry_run=self._terms.dry_run)
        with self._store.seen() as seen:
            async for batch in source.batches():
                report.read += len(batch)
                arrivals = [arrival for row in batch if (arrival := self._prepared(row, report, seen.claim))]
                arrivals = await self._unknown(arrivals, report)
                await self._add(arrivals, report)
        if report.imported and not report.dry_run:
            now, count = self._kernel.clock.now(), report.imported
            await self._kernel.events.publish(AccountsImported(at=now, source=report.source, count=count))
        return report

    def _prepared(self, row: OldUser | BadRow, report: Report, claim: Claim) -> Arrival | None:
        if isinstance(row, BadRow):
            report.refuse(row)
            return None
        try:
            arrival = self._arrival(row)
            _claim(arrival, claim)
        except _Refused as refused:
            report.refuse(_bad(row, str(refused)))
            return None
        return arrival

    def _arrival(self, row: OldUser) -> Arrival:
        email = _email(row.email)
        now = self._kernel.clock.now()
        values: dict[str, object] = {
            **self._own_values(row.values),
            "is_active": row.is_active,
            "is_verified": row.is_verified or self._terms.all_verified,
            "created_at": row.created_at or now,
            "rights_epoch": int(now.timestamp() * 1000),
        }
        if self._terms.keep_ids:
            values[self._kernel.users.key.name] = self._key(row.id)
        return Arrival(
            number=row.number,
            id=_shown(row.id),
            email=email,
            username=None if self._terms.without_usernames else _username(row.username, email),
            digest=self._digest(row.digest),
            values=values,
            roles=self._roles(row),
            identities=tuple(_identity(each) for each in row.identities),
        )

    def _own_values(self, values: Mapping[str, object]) -> dict[str, object]:
        columns = self._kernel.tables.users.c
        try:
            found = {name: column_value(columns[name], value) for name, value in values.items()}
        except ValueError as error:
            raise _Refused(str(error)) from None
        # What the other app has no value for is the model's own default, where it has one.
        return {name: value for name, value in found.items() if value is not None or columns[name].nullable}

    def _key(self, key: object) -> object:
        found = None if key is None else self._kernel.users.parse_key(_spelled(key))
        if found is None:
            raise _Refused("the id is no key of the user table")
        return found

    def _digest(self, digest: str | None) -> str | None:
        if not digest:
            return None
        try:
            check_digest(digest)
        except ValueError as error:
            if self._terms.without_unreadable_passwords:
                return None
            raise _Refused(f"the password cannot be checked: {error}") from None
        return digest

    def _roles(self, row: OldUser) -> tuple[str, ...]:
        given = self._terms.roles
        if given is None:
            given = tuple(role.name for role in self._kernel.roles.values() if role.default)
        return tuple(sorted({*given, *(self._terms.superuser_roles if row.is_superuser else ())}))

    async def _unknown(self, arrivals: Sequence[Arrival], report: Report) -> list[Arrival]:
        """Those that the database does not know yet."""
        known = await self._store.known(arrivals)
        key = self._kernel.users.key.name
        left = list[Arrival]()
        for arrival in arrivals:
            taken = [each for each in arrival.identities if (each.issuer, each.subject) in known.identities]
            if arrival.email.canonical in known.addresses:
                report.already_there += 1
            elif arrival.name in known.usernames:
                report.refuse(_bad(arrival, "the username is another account's"))
            elif arrival.values.get(key) in known.keys:
                report.refuse(_bad(arrival, "the id is another account's"))
            elif taken:
                report.refuse(_bad(arrival, f"the identity at {taken[0].provider} is another account's"))
            else:
                left.append(arrival)
        return left

    async def _add(self, arrivals: Sequence[Arrival], report: Report) -> None:
        """All at once, or one by one if the database refuses that: then each that it takes is taken."""
        if not arrivals:
            return
        try:
            await self._store.add(arrivals, keep=not report.dry_run)
        except (ConstraintViolation, Conflict, Unprocessable) as violation:
            if len(arrivals) > 1:
                for arrival in arrivals:
                    await self._add([arrival], report)
            elif isinstance(violation, UniqueViolation) and "email_canonical" in violation.constraint:
                report.already_there += 1  # made while this ran
            else:
                report.refuse(_bad(arrivals[0], f"the database refuses the row: {_said(violation)}"))
        else:
            for arrival in arrivals:
                report.count(arrival)

    def _check_roles(self, names: Iterable[str]) -> None:
        declared = self._kernel.roles
        for name in names:
            if name not in declared:
                there_are = f"this app declares {', '.join(sorted(declared))}" if declared else "this app declares none"
                raise ConfigurationError(f"There is no role {name!a}: {there_are} (Auth(roles=[…]))")


def _claim(arrival: Arrival, claim: Claim) -> None:
    for name, called in ((arrival.email.canonical, "e-mail address"), (arrival.name, "username")):
        first = claim(name, arrival.number) if name else None
        if first is not None:
            raise _Refused(f"the same {called} as row {first}, in one spelling or another")


def _email(typed: str) -> Identity:
    if not typed:
        raise _Refused("there is no e-mail address")
    canonical = canonical_email(typed)
    if canonical is None:
        raise _Refused("the e-mail address is not of a form that limen takes")
    return Identity(typed, canonical)


def _username(typed: str | None, email: Identity) -> Identity | None:
    """One that is the address itself is none: with that, everybody signs in anyway."""
    if not typed or typed == email.typed or canonical_email(typed) == email.canonical:
        return None
    try:
        return username_identity(typed)
    except Unprocessable:
        raise _Refused("the username is not of a form that limen takes: 1 to 64 letters, digits, . - _") from None


def _identity(identity: ExternalIdentity) -> ExternalIdentity:
    texts = (identity.provider, identity.issuer, identity.subject, identity.email or "")
    if not identity.subject or any(len(text) > MAX_TEXT or "\x00" in text or not _is_text(text) for text in texts):
        raise _Refused("an identity at another provider cannot be read")
    return identity


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _bad(row: OldUser | Arrival, reason: str) -> BadRow:
    return BadRow(number=row.number, reason=reason, id=_shown(row.id))


def _shown(key: object) -> str | None:
    """The other app's key, if it is one: a wrongly mapped column may hold anything."""
    text = "" if key is None else str(key)
    is_key = 0 < len(text) <= 36 and text.isascii() and text.replace("-", "").isalnum()
    return text if is_key else None


def _spelled(key: object) -> str:
    """SQLite has no UUIDs: there they are texts, with dashes or without."""
    text = str(key)
    return str(UUID(text)) if _BARE_UUID.fullmatch(text) else text


def _said(violation: Exception) -> str:
    said = violation.constraint if isinstance(violation, ConstraintViolation) else str(violation)
    return said.partition("\n")[0][:200]
