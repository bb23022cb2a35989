"""Files from strangers: whatever bytes they hold, rows come out or one sentence, and no row is swallowed."""

import asyncio
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limen.errors import ConfigurationError
from limen.features.imports.sources import CsvRows, Firebase, FirebaseRows, JsonLines, Users
from limen.features.imports.sources.files import MAX_BATCH, MAX_ROW
from limen.features.imports.sources.rows import Row

Kind = type[CsvRows] | type[JsonLines] | type[FirebaseRows]

PIECES = [
    b'{"users": [',
    b"]}",
    b"{",
    b"}",
    b'"',
    b",",
    b"\n",
    b"\r",
    b";",
    b"email",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\\u",
    b"1e9",
]


def rows(kind: Kind, path: Path) -> list[Row]:
    async def read() -> list[Row]:
        source = kind(path)
        await source.columns()
        return [row async for batch in source.batches() for row in batch]

    return asyncio.run(read())


@pytest.mark.parametrize("kind", [CsvRows, JsonLines, FirebaseRows])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)))
def test_no_bytes_end_in_another_error(kind: Kind, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        found = rows(kind, path)
    except ConfigurationError:
        return
    assert [row.number for row in found] == sorted({row.number for row in found})
    assert all(not row.raw for row in found if row.problem)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000), min_size=60, max_size=60))
def test_an_export_is_read_whole_wherever_its_pieces_end(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "users.json"
    users = [{"localId": str(number), "displayName": name * 3 + "🚢é"} for number, name in enumerate(names)]
    path.write_text('{"users": [\n' + ",\n".join(json.dumps(each, ensure_ascii=False) for each in users) + "]}")
    assert [row.raw for row in rows(FirebaseRows, path)] == users


def test_a_truncated_export_says_from_where_on_it_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text('{"users": [\n{"localId": "1"},\n{"localId": "2", "em')
    assert [(row.number, row.problem) for row in rows(FirebaseRows, path)] == [
        (1, ""),
        (2, "the file cannot be read from this user on"),
    ]


def test_a_million_brackets_are_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    path.write_text("[" * 500_000 + "\n" + '{"a":' * 400 + "1" + "}" * 400 + '\n{"email": "ada@example.com"}\n')
    assert [bool(row.problem) for row in rows(JsonLines, path)] == [True, True, False]
    path.write_text('{"users": [' + '{"a":' * 200_000)
    assert [bool(row.problem) for row in rows(FirebaseRows, path)] == [True]


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    with path.open("w") as file:
        file.write("email,note\n")
        for number in range(30_000):
            file.write(f"user{number}@example.com,{'n' * 400}\n")
        file.write(f"huge@example.com,{'n' * 20_000_000}\n")

    async def read() -> int:
        count = 0
        async for batch in CsvRows(path).batches():
            count += len(batch)
        return count

    tracemalloc.start()
    try:
        assert asyncio.run(read()) == 30_001
        assert tracemalloc.get_traced_memory()[1] < 6 * MAX_ROW
    finally:
        tracemalloc.stop()


def test_large_rows_come_in_smaller_batches(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    with path.open("w") as file:
        for number in range(40):
            file.write(json.dumps({"email": f"user{number}@example.com", "note": "n" * 1_000_000}) + "\n")

    async def largest() -> int:
        return max([len(batch) async for batch in JsonLines(path).batches()])

    tracemalloc.start()
    try:
        assert asyncio.run(largest()) * 1_000_000 < 2 * MAX_BATCH
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_BATCH
    finally:
        tracemalloc.stop()


def test_a_line_of_names_that_nobody_wrote_is_refused(tmp_path: Path) -> None:
    """Each row would be a dictionary of all of them."""
    path = tmp_path / "users.csv"
    path.write_text("email," + ",".join(map(str, range(100_000))) + "\n")
    with pytest.raises(ConfigurationError, match="over 1,000 columns"):
        rows(CsvRows, path)


def test_a_column_that_is_nobodys_to_set_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text('{"users": []}')
    with pytest.raises(ConfigurationError, match="is_service"):
        Users(FirebaseRows(path), Firebase(None), renamed={"is_service": "x"}, own=["nickname"])
