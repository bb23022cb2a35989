"""What letters say: every one that limen sends, an app's own in their place, and nothing that input could forge."""

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.headerregistry import Address
from html.parser import HTMLParser
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.features.mail.message import Addressed, address, compose, sender_address
from limen.features.mail.samples import samples
from limen.features.mail.wording import PACKAGED, UNSPEAKABLE, UnusableLetter, Wording, duration, moment

BASE_URL = "https://app.example.com"
SAMPLES = samples(BASE_URL)
EVERY = pytest.mark.parametrize("name", sorted(SAMPLES))
WORDING = Wording(folder=None, app_name="Example", base_url=BASE_URL)
SENDER = Address(addr_spec="no-reply@example.com")
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def message_of(words, *, to="alice@example.com"):
    letter = Addressed(to=to, words=words)
    return compose(letter, sender=SENDER, template="test", letter_id=uuid4(), posted_at=NOW)


def test_every_packaged_template_has_its_sample_and_its_two_forms():
    assert set(WORDING.names()) == set(SAMPLES)
    for name in SAMPLES:
        assert (PACKAGED / f"{name}.html").is_file()


@EVERY
def test_every_letter_is_worded_with_the_values_that_are_documented_for_it(name):
    words = WORDING.say(name, SAMPLES[name])
    assert "Example" in words.subject
    assert "Example" in words.text
    assert max(map(len, words.text.splitlines())) < 79
    assert words.html is not None
    balanced = Balanced()
    balanced.feed(words.html)
    assert balanced.open == []
    for value in SAMPLES[name].values():
        said = {datetime: moment, timedelta: duration}.get(type(value), str)(value)
        assert said in words.text
        assert said in words.html


@EVERY
def test_every_letter_needs_every_value(name):
    for missing in SAMPLES[name]:
        values = {key: value for key, value in SAMPLES[name].items() if key != missing}
        with pytest.raises(UnusableLetter, match=missing):
            WORDING.say(name, values)


@EVERY
def test_html_links_lead_only_where_the_values_say(name):
    words = WORDING.say(name, SAMPLES[name])
    links = {value for key, value in SAMPLES[name].items() if key.endswith("link")} | {BASE_URL}
    assert set(re.findall(r'href="([^"]*)"', words.html or "")) <= links
    assert not re.search(r"<(img|script|link|iframe)|src=|url\(", words.html or ""), "nothing is fetched"


class Balanced(HTMLParser):
    """The elements that are open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# --- hostile values


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_no_value_becomes_markup(text):
    values = {**SAMPLES["key_created"], "key_name": f"<b>{text}</b>\"'&"}
    html = WORDING.say("key_created", values).html or ""
    assert "<b>" not in html
    plain = WORDING.say("key_created", SAMPLES["key_created"]).html or ""
    assert html.count("<") == plain.count("<")


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(blacklist_categories=())))
def test_no_value_forges_a_line_of_the_text(text):
    plain = WORDING.say("key_created", {**SAMPLES["key_created"], "key_name": "name"}).text
    said = WORDING.say("key_created", {**SAMPLES["key_created"], "key_name": text}).text
    assert len(said.splitlines()) == len(plain.splitlines())
    assert not UNSPEAKABLE.search(said.replace("\n", ""))


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(blacklist_categories=())), st.text(st.characters(blacklist_categories=())))
def test_whatever_is_in_a_subject_it_stays_one_header(tmp_path_factory, before, after):
    wording = subject_of_a_value(tmp_path_factory)
    for value in (before + after, f"{before}\n{after}", f"{before}\r\nBcc: {after}"):
        try:
            words = wording.say("own", {"value": value})
        except UnusableLetter:
            continue
        assert not UNSPEAKABLE.search(value)
        raw = message_of(words).as_bytes()
        read = message_from_bytes(raw, policy=policy.default)
        assert set(read.keys()) == EXPECTED_HEADERS
        assert str(read["Subject"]).split() == f"Hello {value}".split()


EXPECTED_HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Limen-Letter",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
}

_made: list[Wording] = []


def subject_of_a_value(tmp_path_factory) -> Wording:
    if not _made:
        folder = tmp_path_factory.mktemp("subject")
        (folder / "own.txt").write_text("{% block subject %}Hello {{ value }}{% endblock %}\nbody")
        _made.append(Wording(folder=folder, app_name="Example", base_url=BASE_URL))
    return _made[0]


@settings(max_examples=50, deadline=None)
@given(
    st.text(st.characters(blacklist_categories=())), st.sampled_from(["{}@example.com", "a@{}", "{}", "{} <a@b.de>"])
)
def test_an_address_is_one_address_or_refused(text, form):
    typed = form.format(text)
    try:
        found = address(typed)
    except UnusableLetter:
        return
    assert not re.search(r"[\x00-\x1f\x7f,<>]", found.addr_spec) or found.addr_spec.startswith('"')
    assert found.addr_spec.isascii()
    words = WORDING.say("test", {})
    read = message_from_bytes(message_of(words, to=typed).as_bytes(), policy=policy.default)
    assert [each.addr_spec for each in read["To"].addresses] == [found.addr_spec]
    assert "Bcc" not in read


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(blacklist_categories=())))
def test_a_sender_is_one_address_or_refused(text):
    for typed in (text, f"{text} <a@example.com>", f"Example <{text}@example.com>", f"a@{text}"):
        try:
            found = sender_address(typed)
        except ValueError:
            continue
        assert not UNSPEAKABLE.search(str(found))
        assert found.addr_spec.count("@") == 1


def test_an_international_domain_is_written_so_that_every_server_takes_it():
    assert address("Ada.Lovelace@MÜNCHEN.example").addr_spec == "Ada.Lovelace@xn--mnchen-3ya.example"


# --- an app's own templates


def test_an_apps_own_template_goes_before_limens(tmp_path):
    (tmp_path / "test.txt").write_text("{% block subject %}Own{% endblock %}\nOwn words from {{ app_name }}.")
    wording = Wording(folder=tmp_path, app_name="Example", base_url=BASE_URL)
    words = wording.say("test", {})
    assert (words.subject, words.text) == ("Own", "OwnOwn words from Example.\n")
    assert wording.say("sessions_ended", SAMPLES["sessions_ended"]) == WORDING.say(
        "sessions_ended", SAMPLES["sessions_ended"]
    )


def test_an_own_layout_clothes_every_letter(tmp_path):
    (tmp_path / "_layout.html").write_text("<main>{% block body %}{% endblock %}</main>")
    wording = Wording(folder=tmp_path, app_name="Example", base_url=BASE_URL)
    assert wording.overridden() == WORDING.names()
    assert (wording.say("test", {}).html or "").startswith("<main>")


def test_a_letter_of_the_apps_own(tmp_path):
    (tmp_path / "welcome.txt").write_text(
        "{% block subject %}Welcome{% endblock %}\n{% block body %}Hi {{ name }}{% endblock %}"
    )
    wording = Wording(folder=tmp_path, app_name="Example", base_url=BASE_URL)
    assert wording.say("welcome", {"name": "Ada"}).html is None
    assert "welcome" in wording.names()


@pytest.mark.parametrize(
    "code", ["{{ ''.__class__.__mro__ }}", "{{ at.__init__.__globals__ }}", "{{ 1/0 }}", "{{ at.x.y }}"]
)
def test_templates_reach_nothing_behind_their_values(tmp_path, code):
    (tmp_path / "sessions_ended.txt").write_text("{% block subject %}x{% endblock %}" + code)
    wording = Wording(folder=tmp_path, app_name="Example", base_url=BASE_URL)
    with pytest.raises(UnusableLetter):
        wording.say("sessions_ended", SAMPLES["sessions_ended"])


def test_durations_are_said_as_people_say_them():
    said = {
        3600: "60 minutes",
        7200: "2 hours",
        86_400: "24 hours",
        259_200: "3 days",
        900: "15 minutes",
        90: "90 seconds",
    }
    assert {seconds: duration(timedelta(seconds=seconds)) for seconds in said} == said
