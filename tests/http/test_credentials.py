"""Taking the credential out of a request: from raw bytes that a stranger chose."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limen.errors import InvalidCredential, InvalidRequest
from limen.http.credentials import find_credential, read_credential
from limen.http.scheme import Carrier

COOKIE = b"__Host-limen"


def read(*headers, cookie_name=COOKIE):
    presented = read_credential(headers, cookie_name=cookie_name)
    return None if presented is None else (presented.carrier, presented.value)


def bearer(value):
    return (b"authorization", value)


@pytest.mark.parametrize(
    "value", [b"Bearer abc", b"bearer abc", b"BEARER abc", b"Bearer  abc", b" Bearer abc ", b"Bearer abc\t"]
)
def test_a_bearer_token_is_read_whatever_the_case_and_padding(value):
    assert read(bearer(value)) == (Carrier.BEARER, "abc")


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer a b",
        b"Bearer a,b",
        b"Bearer =a",
        b"Bearer \xff",
        b"Bearer a\x00",
        b'Bearer "a"',
        b"Bearer " + b"a" * 8193,
    ],
)
def test_a_bearer_token_of_another_form_is_a_bad_credential_and_not_none(value):
    with pytest.raises(InvalidCredential):
        read(bearer(value))


def test_a_token_of_8_kb_is_read():
    assert read(bearer(b"Bearer " + b"a" * 8192)) == (Carrier.BEARER, "a" * 8192)


@pytest.mark.parametrize("value", [b"", b"Basic Og==", b"Digest x", b"Bearerabc", b"abc"])
def test_other_schemes_are_somebody_elses_affair(value):
    assert read(bearer(value)) is None


def test_an_api_key_is_read_from_its_header():
    assert read((b"x-api-key", b"lmk_a.b")) == (Carrier.HEADER, "lmk_a.b")
    assert read((b"x-api-key", b" lmk_a.b\t")) == (Carrier.HEADER, "lmk_a.b")
    assert read(bearer(b"Basic Og=="), (b"x-api-key", b"lmk_a.b")) == (Carrier.HEADER, "lmk_a.b")


@pytest.mark.parametrize(
    "headers",
    [
        [bearer(b"Bearer a"), bearer(b"Bearer a")],
        [bearer(b"Bearer a"), bearer(b"Basic Og==")],
        [bearer(b""), bearer(b"Bearer a")],
        [(b"x-api-key", b"a"), (b"x-api-key", b"a")],
        [bearer(b"Bearer a"), (b"x-api-key", b"a")],
        [(b"x-api-key", b"a"), bearer(b"Bearer a")],
        [(b"cookie", COOKIE + b"=a"), (b"cookie", COOKIE + b"=b")],
        [(b"cookie", COOKIE + b"=a; " + COOKIE + b"=a")],
    ],
)
def test_two_credentials_are_refused_rather_than_chosen_between(headers):
    with pytest.raises(InvalidRequest):
        read(*headers)


def test_an_explicit_credential_goes_before_the_cookie():
    cookie = (b"cookie", COOKIE + b"=lms_a.b")
    assert read(cookie, bearer(b"Bearer abc")) == (Carrier.BEARER, "abc")
    assert read(cookie, (b"x-api-key", b"lmk_a.b")) == (Carrier.HEADER, "lmk_a.b")
    assert read(cookie, bearer(b"Basic Og==")) == (Carrier.COOKIE, "lms_a.b")


@pytest.mark.parametrize(
    "line", [b"=a", b"x" + COOKIE + b"=a", COOKIE + b"x=a", COOKIE, COOKIE + b"=", b"__host-limen=a", b"limen=a"]
)
def test_a_cookie_of_another_name_is_none(line):
    assert read((b"cookie", line)) is None


def test_a_cookie_is_found_among_others():
    line = b"a=b; " + COOKIE + b"=lms_a.b;c=d"
    assert read((b"cookie", b"x=y"), (b"cookie", line)) == (Carrier.COOKIE, "lms_a.b")


def test_where_no_scheme_takes_cookies_there_is_none():
    assert read((b"cookie", COOKIE + b"=lms_a.b"), cookie_name=None) is None


NAMES = st.sampled_from([b"authorization", b"x-api-key", b"cookie", b"host", b"content-type", b"x"]) | st.binary(
    max_size=8
)
VALUES = st.binary(max_size=40) | st.builds(
    b"".join,
    st.lists(
        st.sampled_from(
            [
                b"Bearer ",
                b"bearer",
                b" ",
                b"\t",
                b"a.b.c",
                b"Basic ",
                b"=",
                b";",
                COOKIE,
                b"\xff",
                b"\x00",
                b"lmk_",
                b",",
            ]
        ),
        max_size=8,
    ),
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


@given(HEADERS, st.sampled_from([COOKIE, b"limen", None]))
@example([(b"authorization", b"\xa0Bearer x")], COOKIE)
def test_no_headers_are_ever_more_than_a_refusal(headers, cookie_name):
    try:
        presented = read_credential(headers, cookie_name=cookie_name)
    except (InvalidRequest, InvalidCredential):
        return
    assert presented is None or (presented.value.isascii() and 0 < len(presented.value) <= 8192)


@given(HEADERS, st.sampled_from([COOKIE, b"limen", None]))
def test_the_quick_reader_never_disagrees_with_the_careful_one(headers, cookie_name):
    found = find_credential(headers, None if cookie_name is None else cookie_name + b"=")
    if found is None:
        return
    carrier, value = found
    try:
        presented = read_credential(headers, cookie_name=cookie_name)
    except InvalidCredential:
        return  # of no credential's form, so never remembered
    if presented is None:
        assert not value
    else:
        assert (presented.carrier, presented.value.encode()) == (carrier.decode(), value.strip(b" \t"))
