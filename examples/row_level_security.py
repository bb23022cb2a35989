"""PostgreSQL decides: row-level security by the person whom limen knows, on the app's own queries.

    export LIMEN_DATABASE_URL=postgresql://…
    python -m examples.row_level_security                        # makes tables, policies and the role `note_taker`
    uvicorn examples.row_level_security:app --no-proxy-headers

A query that forgets its WHERE shows nobody else's rows. `limen[postgres]` brings the driver.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from sqlalchemy import FetchedValue, String, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from limen import Auth, Principal, Role
from limen.db import rls
from limen.db.users import Base

ROLE = "note_taker"
POLICIES = f"""
DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT {ROLE} TO CURRENT_USER;
GRANT USAGE ON SCHEMA auth TO {ROLE};
GRANT SELECT, INSERT, DELETE ON notes TO {ROLE};
GRANT USAGE ON SEQUENCE notes_id_seq TO {ROLE};
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes ALTER COLUMN owner_id SET DEFAULT auth.uid();
DROP POLICY IF EXISTS own ON notes;
CREATE POLICY own ON notes USING (owner_id = auth.uid()) WITH CHECK (owner_id = auth.uid());
"""


class Note(Base):
    """A note; the database fills in whose it is, by `auth.uid()`."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(server_default=FetchedValue())
    words: Mapped[str] = mapped_column(String(1000))


auth = Auth(roles=[Role("member", ["notes"], default=True), Role("admin", ["*"])])
app = FastAPI(title="Notes")
auth.install(app)

CurrentPrincipal = Annotated[Principal, Depends(auth.current_principal)]


async def session(principal: CurrentPrincipal) -> AsyncIterator[AsyncSession]:
    """A session in which the database knows who asks; nothing of it is left on the connection."""
    async with AsyncSession(auth.kernel.database.engine, expire_on_commit=False) as current:
        await auth.rls(current, principal, role=ROLE)
        yield current


Session = Annotated[AsyncSession, Depends(session)]


@app.get("/notes", dependencies=[Depends(auth.require("notes:read"))])
async def notes(session: Session) -> list[str]:
    return list(await session.scalars(select(Note.words).order_by(Note.id)))  # no WHERE, and only one's own


@app.post("/notes", status_code=201, dependencies=[Depends(auth.require("notes:write"))])
async def write(words: str, session: Session) -> int:
    note = Note(words=words)
    session.add(note)
    await session.commit()
    return note.id


@app.delete("/notes/{note_id}", status_code=204, dependencies=[Depends(auth.require("notes:delete"))])
async def tear_up(note_id: int, session: Session) -> None:
    await session.execute(delete(Note).where(Note.id == note_id))
    await session.commit()


async def make_tables() -> None:
    """Good enough for an example; an app of yours puts this into a migration."""
    async with auth.kernel.database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.exec_driver_sql(rls.functions() + POLICIES, execution_options={"no_parameters": True})
    await auth.kernel.database.dispose()


if __name__ == "__main__":
    asyncio.run(make_tables())
