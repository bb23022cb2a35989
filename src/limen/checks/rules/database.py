"""6xx: the database."""

from collections.abc import Iterator

from limen.checks.check import Trouble, check
from limen.checks.evidence import Evidence


@check(
    "limen.E601",
    "The database cannot be reached",
    reason="Nobody signs in or refreshes; the app does not start.",
    cure="Look at LIMEN_DATABASE_URL, and whether the server listens there and takes this user.",
)
def database_down(seen: Evidence) -> Iterator[Trouble]:
    if seen.database is not None and seen.database.outage:
        yield Trouble(f"{seen.database.url}: {seen.database.outage}", where="LIMEN_DATABASE_URL")


@check(
    "limen.E602",
    "The database is not migrated",
    reason="A table or column that limen needs is not there; the app does not start.",
    cure="`limen migrate`; an app whose own migrations make limen's tables runs those.",
)
def database_behind(seen: Evidence) -> Iterator[Trouble]:
    if seen.database is not None and seen.database.lacks:
        yield Trouble(seen.database.lacks, where=seen.database.url)


@check(
    "limen.E603",
    "A secret is stored in plain text",
    reason="A backup, a replica or an injection that only reads is then enough to sign in as these people.",
    cure="Keep digests (limen's tables do): let limen hash the passwords, and revoke the tokens that are there.",
)
def secrets_in_plain_text(seen: Evidence) -> Iterator[Trouble]:
    for each in seen.database.plain_secrets if seen.database else ():
        yield Trouble(f"it holds {each.kind}, readable", where=f"{each.table}.{each.column}")


@check(
    "limen.I604",
    "A file is the database of a public app",
    reason="SQLite serves one machine well, and only one.",
    cure="Nothing to do on one machine. For more: LIMEN_DATABASE_URL=postgresql://…",
)
def sqlite_in_public(seen: Evidence) -> Iterator[Trouble]:
    if seen.database is not None and seen.database.is_sqlite and seen.is_public:
        yield Trouble(seen.database.url, where="LIMEN_DATABASE_URL")
