"""The user row's verbs. Rows go in and out as Core; an instance of the app's class is built only for the app."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import Column, Row, Select, and_, bindparam, delete, func, insert, inspect, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from limen.core.admission import is_placeholder
from limen.core.clock import Clock
from limen.core.identity import Identity
from limen.core.revocations import Revocation, Revoked
from limen.core.rights import Held
from limen.db.addresses import refuse_kept
from limen.db.database import Database
from limen.db.identities import identity_digest
from limen.db.instances import InstanceLoader
from limen.db.rights import RightsStore
from limen.db.sessions import Lifetimes
from limen.db.tables import Tables
from limen.db.users import UserMixin, parse_key

U = TypeVar("U", bound=UserMixin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user row as it stands, with what the user holds, in one snapshot."""

    id: object
    held: Held
    columns: Mapping[str, object] = field(repr=False)

    @property
    def subject(self) -> str:
        """The id as text: the `sub` of every credential."""
        return str(self.id)

    @property
    def email(self) -> str:
        """The address as typed."""
        return str(self.columns["email"])

    @property
    def mailbox(self) -> str | None:
        """The address, if it is this account's own; None for a placeholder, or what another issuer merely says."""
        return None if is_placeholder(str(self.columns["email_canonical"])) else self.email


class UserStore(Generic[U]):
    """Finds, adds, changes and removes users, whatever their table and key.

    Attributes:
        model: the app's class.
        own_fields: columns of the app's own that its people see of themselves.
        account_columns: what a SELECT on the user table needs so that `account` can read its rows.
    """

    def __init__(
        self,
        database: Database,
        tables: Tables,
        *,
        model: type[U],
        rights: RightsStore,
        clock: Clock,
        lifetimes: Lifetimes,
    ) -> None:
        self._database = database
        self._tables = tables
        self._rights = rights
        self._clock = clock
        self._lifetimes = lifetimes
        is_active_one = and_(self.key == bindparam("key"), tables.users.c.is_active)
        self._instances = InstanceLoader(database, model, is_active_one)
        self.account_columns = (*tables.users.c, *rights.columns(self.key))
        self._finders = self.finders(select(*self.account_columns))
        self.model = model
        self.own_fields: tuple[str, ...] = ()

    def describe(self, account: Account) -> dict[str, object]:
        """The account as people see it: `roles` and direct `permissions` as assigned, and the app's own fields."""
        columns = account.columns
        return {
            "id": account.id if isinstance(account.id, int) else account.subject,
            **{name: columns[name] for name in ("email", "username", "is_active", "is_verified")},
            "roles": sorted(account.held.roles),
            "permissions": sorted(account.held.permissions),
            "created_at": columns["created_at"],
            **{name: columns[name] for name in self.own_fields},
        }

    @property
    def key(self) -> Column[object]:
        """The user table's key column."""
        return self._tables.user_key

    def key_of(self, user: object) -> object | None:
        """The key of a user who is given as a row of the app's class, an `Account`, the key or its text."""
        if isinstance(user, Account):
            return user.id
        if isinstance(user, UserMixin):
            value: object = getattr(user, inspect(self.model).get_property_by_column(self.key).key)
            return value
        return self.parse_key(user) if isinstance(user, str) else user

    def parse_key(self, subject: str) -> object | None:
        """The key that `subject` is the text of, or None."""
        return parse_key(self.key, subject)

    async def load(self, subject: str) -> U | None:
        """The user as an instance of the app's class, detached, or None for no such or a disabled user."""
        key = self.parse_key(subject)
        return None if key is None else await self._instances.load(key=key)

    async def find(self, user_id: object) -> Account | None:
        """The account with this key."""
        return await self._find(self.key.name, user_id)

    async def find_by_subject(self, subject: str) -> Account | None:
        """The account that a credential names."""
        key = self.parse_key(subject)
        return None if key is None else await self.find(key)

    async def find_by_identifier(self, canonical: str) -> Account | None:
        """The account with this canonical e-mail address or username."""
        return await self._find(self.name_column(canonical), canonical)

    def finders(self, statement: Select[tuple[object, ...]]) -> Mapping[str, Select[tuple[object, ...]]]:
        """A statement on the user table, built once for each column that finds a user, its value to be given."""
        users = self._tables.users.c
        finding = (self.key, users.email_canonical, users.username_canonical)
        return {column.name: statement.where(column == bindparam("value")) for column in finding}

    def name_column(self, canonical: str) -> str:
        """The column that a canonical e-mail address or username is looked up in, each by its own index."""
        users = self._tables.users.c
        return users.email_canonical.name if "@" in canonical else users.username_canonical.name

    def account(self, row: Row[tuple[object, ...]]) -> Account:
        """The account in a row that was read with `account_columns`."""
        values = row._mapping
        columns = {column.name: values[column] for column in self._tables.users.c}
        return Account(id=values[self.key], held=self._rights.held(row), columns=columns)

    async def list_page(
        self, *, after: object | None, limit: int, search: str | None = None, role: str | None = None
    ) -> tuple[Account, ...]:
        """Up to `limit` accounts in key order after the key `after`, filtered by name prefix and role."""
        statement = select(*self.account_columns).order_by(self.key).limit(limit)
        users, roles = self._tables.users.c, self._tables.user_roles.c
        if after is not None:
            statement = statement.where(self.key > after)
        if search:
            canonical = search.lower()
            statement = statement.where(
                or_(
                    users.email_canonical.startswith(canonical, autoescape=True),
                    func.lower(users.email).startswith(canonical, autoescape=True),  # shown, and not held
                    users.username_canonical.startswith(canonical, autoescape=True),
                )
            )
        if role is not None:
            statement = statement.where(self.key.in_(select(roles.user_id).where(roles.role == role)))
        return tuple(self.account(row) for row in await self._database.read(statement))

    async def add(
        self,
        connection: AsyncConnection,
        *,
        email: Identity,
        username: Identity | None,
        created_at: datetime,
        values: Mapping[str, object],
    ) -> object:
        """Insert a user; the new key.

        Raises:
            UniqueViolation: a name is taken, or the address is kept for who had it; it aborts the transaction.
        """
        row = {
            "email": email.typed,
            "email_canonical": email.canonical,
            "username": username.typed if username else None,
            "username_canonical": username.canonical if username else None,
            "created_at": created_at,
            "rights_epoch": int(created_at.timestamp() * 1000),
            **values,
        }
        key = (await connection.execute(insert(self._tables.users).values(row).returning(self.key))).scalar_one()
        await refuse_kept(connection, self._tables.address_changes, email.canonical, now=self._clock.now())
        return key

    async def lock_verified(self, connection: AsyncConnection, user_id: object, *, canonical: str) -> bool:
        """Whether this user has proved this address and may sign in, which stays so until the transaction ends."""
        users = self._tables.users.c
        is_proved = and_(self.key == user_id, users.email_canonical == canonical, users.is_verified)
        may_sign_in = and_(users.is_active, ~users.is_service)
        statement = select(self.key).where(is_proved, may_sign_in).with_for_update()
        return (await connection.execute(statement)).first() is not None

    async def change(self, user_id: object, values: Mapping[str, object]) -> bool:
        """Set columns of one user; False for no such user."""
        statement = update(self._tables.users).where(self.key == user_id).values(dict(values)).returning(self.key)
        return bool(await self._database.write(statement))

    async def change_within(self, connection: AsyncConnection, user_id: object, values: Mapping[str, object]) -> bool:
        """The same inside a caller's transaction."""
        statement = update(self._tables.users).where(self.key == user_id).values(dict(values)).returning(self.key)
        return (await connection.execute(statement)).first() is not None

    async def address_within(self, connection: AsyncConnection, user_id: object) -> str | None:
        """The canonical address that a user has at this moment of a caller's transaction; None for no such user."""
        statement = select(self._tables.users.c.email_canonical).where(self.key == user_id)
        canonical: str | None = (await connection.execute(statement)).scalar_one_or_none()
        return canonical

    async def shut(self, connection: AsyncConnection, user_id: object) -> bool:
        """Let an active user be active no more, inside a caller's transaction; False if somebody was faster."""
        is_active_one = and_(self.key == user_id, self._tables.users.c.is_active)
        statement = update(self._tables.users).where(is_active_one).values(is_active=False).returning(self.key)
        return (await connection.execute(statement)).first() is not None

    async def hold(self, connection: AsyncConnection, user_id: object) -> bool:
        """Let nobody else change the user until a caller's transaction ends; False for no such user."""
        statement = select(self.key).where(self.key == user_id).with_for_update()
        return (await connection.execute(statement)).first() is not None

    async def remove(self, connection: AsyncConnection, user_id: object) -> Revocation | None:
        """Delete the user and, by the foreign keys, all that hangs on it; the revocation to write and apply."""
        await self._depart(connection, user_id)
        users = self._tables.users
        statement = delete(users).where(self.key == user_id).returning(users.c.rights_epoch)
        epoch: int | None = (await connection.execute(statement)).scalar_one_or_none()
        return None if epoch is None else self.lockout(user_id, epoch=epoch + 1)

    def lockout(self, user_id: object, *, epoch: int) -> Revocation:
        """The revocation of whatever was made with this user's rights before `epoch`."""
        expires_at = self._clock.time() + self._lifetimes.credential.total_seconds()
        return Revocation(kind=Revoked.SUBJECT, target=str(user_id), epoch=epoch, expires_at=expires_at)

    async def _depart(self, connection: AsyncConnection, user_id: object) -> None:
        """Remember, as digests, which identities elsewhere were this account's: no token of theirs brings it back."""
        identities, departed = self._tables.identities, self._tables.departed
        named = select(identities.c.issuer, identities.c.subject).where(identities.c.user_id == user_id)
        digests = [identity_digest(row.issuer, row.subject) for row in await connection.execute(named)]
        if digests:
            await connection.execute(delete(departed).where(departed.c.digest.in_(digests)))
            now = self._clock.now()
            rows = [{"digest": digest, "departed_at": now} for digest in digests]
            await connection.execute(insert(departed), rows)

    async def _find(self, column: str, value: object) -> Account | None:
        rows = await self._database.read(self._finders[column], {"value": value})
        return self.account(rows[0]) if rows else None
