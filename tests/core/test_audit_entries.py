"""Input forges no line, no column and no entry, however it is written and however long it is."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from limen.core.audit_chain import ChainKeys, content_of
from limen.core.audit_entries import LIMITS, digests_of, entry_of, line_of, name_of, printable
from limen.core.cause import Actor
from limen.core.client import NOWHERE, Client
from limen.events import Event, LoginFailed

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
KEYS = [b"k" * 32]
NASTY = '\r\n\x00\x1b[2J\u2028\u2029\u202e\u2066\ud800\ufeff{"event":"logged_in"}'
texts = st.one_of(st.text(max_size=300), st.sampled_from([NASTY, NASTY * 500, "x" * 10_240, "\u202e" * 3000]))
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=80) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnythingHappened(Event):
    """With whatever somebody sent."""

    what: object


def entry(what: object, *, text: str = "x") -> object:
    client = Client(ip=text, user_agent=text)
    actor = Actor(kind=text, subject=text, credential=text, credential_id=text, session_id=text, client_id=text)
    event = AnythingHappened(at=NOW, subject=text, client=client, actor=actor, what=what)
    return entry_of(event, client=NOWHERE, digest_keys=KEYS)


@settings(max_examples=150, deadline=None)
@given(what=json_like, text=texts)
def test_an_entry_is_one_line_of_printable_ascii_of_bounded_length(what, text):
    made = entry(what, text=text)
    line = line_of(made)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 12_000
    assert json.loads(line)["event"] == "anything_happened"
    assert len(made.details) <= 4096
    for name, most in LIMITS.items():
        value = getattr(made, name)
        assert value is None or (len(value) <= most and value.isprintable())
    assert content_of(made.values()).isascii()


@settings(max_examples=100, deadline=None)
@given(first=st.tuples(texts, texts), second=st.tuples(texts, texts))
def test_two_entries_that_differ_have_different_content(first, second):
    """No text reaches over into the next field."""
    one, other = (entry("", text="x").values() for _ in range(2))
    position = 4
    one = (*one[:position], *(printable(each, 200) for each in first), *one[position + 2 :])
    other = (one[0], *other[1:position], *(printable(each, 200) for each in second), *other[position + 2 :])
    assert (content_of(one) == content_of(other)) == (one == other)


def test_no_number_that_json_does_not_know_is_said():
    made = entry([float("nan"), float("inf"), 10**400, b"bytes", object()])
    what = json.loads(made.details, parse_constant=lambda name: 1 / 0)["what"]
    assert what == ["nan", "inf", "1" + "0" * 199, "<bytes>", "<object>"]
    line_of(made)


def test_a_typed_name_is_digested_under_a_key():
    event = LoginFailed(at=NOW, reason="wrong password", identifier="Ann@Example.com")
    made = entry_of(event, client=NOWHERE, digest_keys=KEYS)
    assert made.name_digest in digests_of("ann@example.com", KEYS)
    assert made.name_digest not in digests_of("ann@example.com", [b"l" * 32])
    assert "nn" not in made.details


def test_names_of_events_are_snake_case():
    assert name_of("LoggedIn") == "logged_in"
    assert name_of("ApiKeyCreated") == "api_key_created"


def test_a_moment_without_a_zone_is_utc():
    event = AnythingHappened(at=datetime(2026, 1, 1), what=1)
    assert entry_of(event, client=NOWHERE, digest_keys=KEYS).at == datetime(2026, 1, 1, tzinfo=UTC)


def test_only_who_knows_the_secret_writes():
    content = content_of(entry("x").values())
    ours, theirs = ChainKeys.of([b"a" * 32, b"b" * 32]), ChainKeys.of([b"c" * 32])
    assert ours.wrote(ours.known[1].sign(b"entry", content), content)
    assert not ours.wrote(theirs.present.sign(b"entry", content), content)
    assert not ours.wrote(ours.present.sign(b"link", content), content)
