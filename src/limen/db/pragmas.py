"""How limen opens a SQLite file."""

import sqlite3

BUSY_TIMEOUT_MS = 15_000


def prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Readers beside one writer (WAL), a commit that survives the power cut, foreign keys that are kept."""
    cursor = connection.cursor()
    try:
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


def keep_foreign_keys(connection: sqlite3.Connection, _record: object) -> None:
    """SQLite ignores them unless each connection says otherwise; what hangs on a deleted user must go with it."""
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA foreign_keys=ON")
    finally:
        cursor.close()
