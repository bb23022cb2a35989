"""JSON from strangers: one reading or none, at a bounded price (RFC 8259, RFC 7493)."""

import json
import re
from math import isfinite

MAX_DEPTH = 16
MAX_NUMBER = 40  # characters; a double needs 25, and Python's own bound on integers (4,300 digits) can be switched off

# Possessive, and content with no closing quote: it never goes back, so hostile text costs its length, not the square.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


class MalformedJSON(ValueError):
    """Bytes that are not one JSON object in one reading. Says why, never quotes them."""


def parse_object(data: bytes) -> dict[str, object]:
    """The JSON object in `data`, which is UTF-8 text of a size that the caller has bounded.

    Raises:
        MalformedJSON: not UTF-8, not JSON, not an object; a name twice in one object; NaN, Infinity or a number that
            overflows to it; a number of over 40 characters; over 16 levels; text that UTF-8 cannot carry.
    """
    value = _read(data)
    if not isinstance(value, dict):  # raised here, outside the handler: json's own error carries the whole text along
        raise MalformedJSON("not a JSON object")
    return value


def parse_value(data: bytes) -> object:
    """The same for JSON of any kind but `null`: some answers are lists.

    Raises:
        MalformedJSON: as above, an object or not.
    """
    value = _read(data)
    if value is None:
        raise MalformedJSON("not JSON")
    return value


def _read(data: bytes) -> object:
    try:
        return _parse(data.decode("utf-8"))
    except MalformedJSON:
        raise
    except (ValueError, RecursionError):
        return None


def _parse(text: str) -> object:
    # The openings are an upper bound of the depth, so ordinary objects never pay for the exact count.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise MalformedJSON("nested too deeply")
    value: object = _DECODER.decode(text)
    if "\\u" in text:
        # A lone surrogate (RFC 8259 §8.2) parses, and would fail wherever the text is stored or sent on.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """RFC 7519 §4: names within a claims set MUST be unique; parsers MUST reject duplicates or take the last."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJSON("a member appears twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER:
        raise MalformedJSON("a number is too long")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > MAX_NUMBER:
        raise MalformedJSON("a number is too long")
    if not isfinite(value := float(digits)):
        raise MalformedJSON("a number is out of range")
    return value


def _constant(_: str) -> float:
    """RFC 8259 §6: Infinity and NaN are not permitted."""
    raise MalformedJSON("NaN and Infinity are not JSON")


# Made once: json.loads with hooks builds a decoder per call.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
)
