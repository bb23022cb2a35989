"""For tests whose matter is not the database: they run on SQLite alone."""

from functools import partial
from pathlib import Path

import pytest
from tests.features.conftest import NewDatabase, new_sqlite_file


@pytest.fixture
def new_database(tmp_path: Path, request: pytest.FixtureRequest) -> NewDatabase:
    return partial(new_sqlite_file, tmp_path, request)
