"""limen's packaged alembic history; `limen.db.migrate` runs it."""
