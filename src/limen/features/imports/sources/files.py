"""Rows of files from strangers: CSV, JSON Lines, Firebase's export; read piece by piece, each piece bounded."""

import csv
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from limen.core.strict_json import MalformedJSON, parse_object
from limen.errors import ConfigurationError
from limen.features.imports.sources.rows import BATCH, Row

MAX_ROW = 1024 * 1024
MAX_BATCH = 8 * 1024 * 1024
MAX_COLUMNS = 1000
_CHUNK = 64 * 1024
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x1f\x8b": "compressed", b"PK\x03\x04": "compressed"}
_UTF8_MARK = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t"


class _File:
    """What the three kinds share: a name, and batches of whatever `_rows` finds.

    Raises:
        ConfigurationError: there is no such file, or it is not text in UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        with self._open():
            pass

    async def columns(self) -> frozenset[str] | None:
        """Each row has its own."""
        return None

    async def batches(self) -> AsyncIterator[Sequence[Row]]:
        with self._open() as file:
            rows = self._rows(file)
            while batch := list(_batch(rows, file)):
                yield batch

    def _rows(self, file: BinaryIO) -> Iterator[Row]:
        raise NotImplementedError

    def _open(self) -> BinaryIO:
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise ConfigurationError(f"--from: {self.name} cannot be read: {error.strerror}") from None
        head = file.read(4)
        found = next((kind for mark, kind in _MARKS.items() if head.startswith(mark)), None)
        if found is not None:
            file.close()
            raise ConfigurationError(f"--from: {self.name} is {found}: it must be plain text in UTF-8")
        file.seek(len(_UTF8_MARK) if head.startswith(_UTF8_MARK) else 0)
        return file


def _batch(rows: Iterator[Row], file: BinaryIO) -> Iterator[Row]:
    """The next rows, as many as are looked up at once, or fewer large ones: memory is bounded by what was read."""
    begun = file.tell()
    for row in islice(rows, BATCH):
        yield row
        if file.tell() - begun > MAX_BATCH:
            return


class _OverLong(ValueError):
    """A row that nobody wrote by hand or exported."""


class _Lines:
    """The lines of a file as text, none over a megabyte, nor a row of several; goes on after an over-long one.

    Bytes that are not UTF-8 are marked, so that only the row that holds them is refused.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self._taken = 0

    def begin_row(self) -> None:
        self._taken = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_ROW + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._taken += len(line)
        while len(line) > MAX_ROW and not line.endswith(b"\n"):
            line = self._file.readline(MAX_ROW + 1)
        if self._taken > MAX_ROW:
            raise _OverLong("the row is over 1 MB")
        return line.decode("utf-8", "surrogateescape")


class CsvRows(_File):
    """Comma-separated values under a line of names; semicolons and tabs are recognised. An empty field is no value."""

    async def columns(self) -> frozenset[str] | None:
        with self._open() as file:
            return frozenset(self._header(_Lines(file))[0])

    def _header(self, lines: _Lines) -> tuple[list[str], str]:
        try:
            first = next(lines, "")
            delimiter = max(_DELIMITERS, key=first.count)
            names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter, strict=True), [])]
        except (csv.Error, _OverLong) as error:
            raise ConfigurationError(f"{self.name}: the line of names cannot be read: {error}") from None
        if len(names) > MAX_COLUMNS:
            raise ConfigurationError(f"{self.name}: the first line names over {MAX_COLUMNS:,} columns")
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"{self.name}: the first line must name each column, once")
        return names, delimiter

    def _rows(self, file: BinaryIO) -> Iterator[Row]:
        lines = _Lines(file)
        names, delimiter = self._header(lines)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            lines.begin_row()
            number = lines.number + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except (csv.Error, _OverLong) as error:
                yield Row(number, {}, f"cannot be read (to line {lines.number}): {error}")
                continue
            if len(values) == len(names):
                yield Row(number, {name: value or None for name, value in zip(names, values, strict=True)})
            elif values:
                yield Row(number, {}, f"has {len(values)} fields, and the first line names {len(names)}")


class JsonLines(_File):
    """One JSON object in each line."""

    def _rows(self, file: BinaryIO) -> Iterator[Row]:
        lines = _Lines(file)
        while True:
            lines.begin_row()
            try:
                line = next(lines, None)
            except _OverLong as error:
                yield Row(lines.number, {}, str(error))
                continue
            if line is None:
                return
            if line.strip():
                yield _parsed(lines.number, line)


class FirebaseRows(_File):
    """The users in `firebase auth:export users.json`: one long list in one JSON object, never held whole."""

    _BEGIN = re.compile(r'\s*\{\s*"users"\s*:\s*\[')
    _BETWEEN = re.compile(r"[\s,]*")

    def _rows(self, file: BinaryIO) -> Iterator[Row]:
        text = _Window(file)
        text.fill()
        if not text.skip(self._BEGIN):
            raise ConfigurationError(f'{self.name} is not an export of Firebase\'s: it begins with {{"users": [')
        number = 0
        while True:
            text.skip(self._BETWEEN)
            if text.rest.startswith("]"):
                return
            number += 1
            found = text.take_object()
            if found is None:
                yield Row(number, {}, "the file cannot be read from this user on")
                return
            yield _parsed(number, found)


class _Window:
    """The part of a file's text that is looked at."""

    _DECODER = json.JSONDecoder()

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.rest = ""
        self._tail = b""

    def fill(self) -> bool:
        """Read on; False at the end."""
        more = self._file.read(max(_CHUNK, len(self.rest)))
        raw = self._tail + more
        cut = len(raw) - _unfinished(raw) if more else len(raw)
        self.rest, self._tail = self.rest + raw[:cut].decode("utf-8", "surrogateescape"), raw[cut:]
        return bool(more)

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Go past what the pattern matches here; there is more behind it unless the file ends."""
        while True:
            found = pattern.match(self.rest)
            if found is None:
                return False
            self.rest = self.rest[found.end() :]
            if self.rest or not self.fill():
                return True

    def take_object(self) -> str | None:
        """The JSON object that begins here, or None for what is none or over a megabyte."""
        while True:
            try:
                _, end = self._DECODER.raw_decode(self.rest)
            except (ValueError, RecursionError):
                if len(self.rest) > MAX_ROW or not self.fill():
                    return None
            else:
                found, self.rest = self.rest[:end], self.rest[end:]
                return found if len(found) <= MAX_ROW else None


def _unfinished(raw: bytes) -> int:
    """How many bytes at the end begin a character that is not all there."""
    for back in range(1, min(4, len(raw) + 1)):
        byte = raw[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < length else 0
        if byte < 0x80:
            return 0
    return 0


def _parsed(number: int, text: str) -> Row:
    try:
        return Row(number, parse_object(text.encode("utf-8", "surrogateescape")))
    except MalformedJSON as error:
        return Row(number, {}, f"cannot be read: {error}")


KINDS: dict[str, Callable[[Path], "CsvRows | JsonLines"]] = {
    ".csv": CsvRows,
    ".tsv": CsvRows,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
}


def rows_of_file(path: Path) -> CsvRows | JsonLines:
    """The rows of a file, by the ending of its name.

    Raises:
        ConfigurationError: it has another, or cannot be read.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        endings = ", ".join(KINDS)
        raise ConfigurationError(f"--from: {path} is neither a database URL nor a file that ends in {endings}")
    return kind(path)
