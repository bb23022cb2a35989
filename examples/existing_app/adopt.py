"""Makes the users of the app limen's: adds its columns and tables, takes over the password hashes. Run it once.

In an app of yours this is a migration. bcrypt, Argon2, PBKDF2 and scrypt hashes go on working, and are replaced by
Argon2id when their owners sign in. `limen import` does the same between two databases, with reports and dry runs.
"""

import asyncio

from main import auth
from models import Base, User, engine
from sqlalchemy import select, text, update

from limen import Passwords, Roles
from limen.core.identity import email_identity

NEW_COLUMNS = (
    "email_canonical VARCHAR(320)",
    "username VARCHAR(64)",
    "username_canonical VARCHAR(64)",
    "is_active BOOLEAN NOT NULL DEFAULT true",
    "is_verified BOOLEAN NOT NULL DEFAULT false",
    "is_service BOOLEAN NOT NULL DEFAULT false",
    "created_at TIMESTAMPTZ NOT NULL DEFAULT '2000-01-01 00:00:00.000000'",
    "rights_epoch BIGINT NOT NULL DEFAULT 0",
)
INDEXES = (
    "CREATE UNIQUE INDEX ux_users_email_canonical ON users (email_canonical)",
    "CREATE UNIQUE INDEX ux_users_username_canonical ON users (username_canonical)",
)


async def adopt() -> None:
    async with engine.begin() as connection:
        for column in NEW_COLUMNS:
            await connection.execute(text(f"ALTER TABLE users ADD COLUMN {column}"))
        await connection.run_sync(Base.metadata.create_all)
        people = (await connection.execute(select(User.id, User.email, User.hashed_password, User.is_admin))).all()
        for person in people:
            canonical = email_identity(person.email).canonical
            await connection.execute(update(User).where(User.id == person.id).values(email_canonical=canonical))
            if person.hashed_password:
                await auth[Passwords].add(connection, person.id, person.hashed_password)
        for index in INDEXES:  # two spellings of one address stop here, and nothing was changed
            await connection.execute(text(index))
    for person in people:
        await auth[Roles].assign_as_operator(person.id, roles=["admin" if person.is_admin else "customer"])
    print(f"{len(people)} users sign in with the passwords that they have.")
    await auth.kernel.database.dispose()


if __name__ == "__main__":
    asyncio.run(adopt())
