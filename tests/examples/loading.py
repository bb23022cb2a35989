"""Runs a file of examples/ as its reader would start it, on a database of the test's own."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from limen import AuthSettings
from limen.db.users import Base
from limen.testing import AsyncAuthClient, AuthClient, fast_hasher, rehearse

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def loaded(name: str, *, database_url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[ModuleType]:
    """The module, with settings of the test's; what it adds to limen's own metadata is taken out again.

    A module that imports its neighbours finds them, not what another test has imported by such a name.
    """
    monkeypatch.chdir(folder)  # no `.env` of whoever runs the tests
    for field in AuthSettings.model_fields:
        monkeypatch.delenv(f"LIMEN_{field.upper()}", raising=False)
    monkeypatch.setenv("LIMEN_SECRET_KEY", "a secret of more than thirty-two bytes, for tests only")
    monkeypatch.setenv("LIMEN_DATABASE_URL", database_url)
    path = EXAMPLES / f"{name}.py"
    monkeypatch.syspath_prepend(str(path.parent))
    for neighbour in path.parent.glob("*.py"):
        monkeypatch.delitem(sys.modules, neighbour.stem, raising=False)
    modules, tables = set(sys.modules), set(Base.metadata.tables)
    unique = f"{path.stem}_{uuid4().hex}"  # SQLAlchemy remembers classes by module
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec
    assert spec.loader
    module = sys.modules[unique] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        for each in set(sys.modules) - modules:
            if str(getattr(sys.modules[each], "__file__", "")).startswith(str(EXAMPLES)):
                del sys.modules[each]
        for table in set(Base.metadata.tables) - tables:
            Base.metadata.remove(Base.metadata.tables[table])


@contextmanager
def client_of(module: ModuleType) -> Iterator[AuthClient]:
    """A client of the example's app, on empty tables."""
    metadata = (module.auth.kernel.tables.users.metadata,)
    with (
        rehearse(module.app, module.auth, metadata=metadata, hasher=fast_hasher()) as rehearsal,
        AuthClient(rehearsal) as client,
    ):
        yield client


@contextmanager
def rehearsed(module: ModuleType) -> Iterator[AsyncAuthClient]:
    """The same for tests that await; `async with` starts the app."""
    metadata = (module.auth.kernel.tables.users.metadata,)
    with rehearse(module.app, module.auth, metadata=metadata, hasher=fast_hasher()) as rehearsal:
        yield AsyncAuthClient(rehearsal)
