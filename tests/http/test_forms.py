"""The form parser: what RFC 6749 asks of it, and nothing that a stranger sends is more than a refusal."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from limen.errors import InvalidRequest, UnsupportedMediaType
from limen.http.routing import FORM, read_form


def parse(body, content_type=FORM):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", content_type.encode("latin-1"))]
    coroutine = read_form(Request({"type": "http", "method": "POST", "headers": headers}, receive))
    try:
        coroutine.send(None)
    except StopIteration as done:
        return dict(done.value)
    raise AssertionError("the parser waits for something")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=32))
def test_what_a_client_encodes_is_what_is_read(fields):
    assert parse(urlencode(fields).encode()) == fields


@given(st.binary(max_size=200) | st.text("ab=&%+ 0fF\x00", max_size=60).map(str.encode))
def test_no_body_is_ever_more_than_a_refusal(body):
    try:
        fields = parse(body)
    except InvalidRequest:
        return
    assert len(fields) <= 32
    for text in (*fields, *fields.values()):
        text.encode("utf-8")


@pytest.mark.parametrize(
    ("body", "fields"), [(b"", {}), (b"&&", {}), (b"a", {"a": ""}), (b"a=b=c", {"a": "b=c"}), (b"a=+%2B", {"a": " +"})]
)
def test_odd_forms_are_read_as_browsers_mean_them(body, fields):
    assert parse(body) == fields


def test_a_field_that_comes_twice_is_refused():
    for body in (b"a=1&a=1", b"a=1&%61=2", b"a&a"):
        with pytest.raises(InvalidRequest):
            parse(body)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/json", "multipart/form-data", "application/x-www-form-urlencodedx"]
)
def test_another_media_type_is_refused(kind):
    with pytest.raises(UnsupportedMediaType):
        parse(b"a=b", kind)
