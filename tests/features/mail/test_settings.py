"""A set-up of mail that cannot work ends at start in one sentence, and without the password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.mini_app import features_of, settings_of

from limen import Auth
from limen.errors import ConfigurationError
from limen.features.mail import Mail
from limen.features.mail.mailers import ConsoleMailer, SmtpServer

MEMORY = "sqlite+aiosqlite://"


def mail_of(mail: Mail | None = None, **settings) -> Mail:
    return Auth(settings=settings_of(MEMORY, **settings), features=features_of(mail or Mail()))[Mail]


def findings(mail: Mail) -> dict[str, str]:
    return {each.id: each.sentence for each in mail.checks()}


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer(host="mail.example.com", port=587, tls="required")),
        ("smtps://mail.example.com", SmtpServer(host="mail.example.com", port=465, tls="wrapped")),
        (
            "smtp://us%40er:p%3Ass@mail.example.com:2525/",
            SmtpServer(host="mail.example.com", port=2525, username="us@er", password="p:ss", tls="required"),
        ),
        ("smtp://localhost:1025", SmtpServer(host="localhost", port=1025, tls="if-offered")),
        ("smtp://[::1]:1025", SmtpServer(host="::1", port=1025, tls="if-offered")),
        ("smtp://mailpit:1025?starttls=never", SmtpServer(host="mailpit", port=1025, tls="never")),
        ("smtp://127.0.0.1?starttls=required", SmtpServer(host="127.0.0.1", port=587, tls="required")),
    ],
)
def test_a_url_says_where_to_and_how(url, server):
    assert SmtpServer.parse(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com:99999",
        "smtp://mail.example.com/inbox",
        "smtp://mail.example.com?starttls=maybe",
        "smtp://mail.example.com?starttls=wrapped",
        "smtp://mail.example.com?starttls=never&starttls=required",
        "smtp://mail.example.com?tls=no",
        "smtp://user:hunter2@mail.example.com?starttls=never",
        "smtp://user:hunter2@mail.example.com#x",
    ],
)
def test_another_url_stops_the_start_and_is_not_told(url, monkeypatch):
    monkeypatch.setenv("LIMEN_SMTP_URL", url)
    with pytest.raises(ConfigurationError, match=r"^LIMEN_SMTP_URL: ") as refused:
        mail_of()
    assert "hunter2" not in str(refused.value)


@given(st.text())
def test_no_url_breaks_the_reader_or_is_quoted(text):
    for url in (text, f"smtp://{text}", f"smtp://user:{text}@host", f"smtp://host?{text}"):
        try:
            server = SmtpServer.parse(url)
        except ValueError:
            continue
        assert server.host
        assert server.password is None or server.password not in repr(server) or len(server.password) < 8
        assert not (server.password and server.tls == "never" and server.host not in ("localhost", "127.0.0.1"))


@pytest.mark.parametrize("sender", ["nothing", "a@b.c, d@e.f", "Example <a@b.c\r\nBcc: x@y.z>", "a@b.c\nBcc: x@y.z"])
def test_a_sender_that_is_no_address_stops_the_start(sender):
    with pytest.raises(ConfigurationError, match=r"^LIMEN_MAIL_FROM: not an address such as"):
        mail_of(Mail(sender=sender))


def test_without_a_sender_letters_come_from_the_host_of_the_base_url():
    assert str(mail_of(base_url="https://app.example.com").sender) == "no-reply@app.example.com"
    assert str(mail_of(base_url="http://127.0.0.1:8000").sender) == "no-reply@localhost"


def test_letters_that_are_printed_in_production_are_warned_of():
    assert "LIMEN_SMTP_URL" in findings(mail_of(base_url="https://example.com"))["limen.W030"]
    assert findings(mail_of()) == {}
    assert isinstance(mail_of().delivery.mailer, ConsoleMailer)


def test_a_folder_that_is_not_there_stops_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMEN_MAIL_TEMPLATES", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="there is no folder"):
        mail_of()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("verify_email.txt", "{% block subject %}x{% endblock %}{{ lnik }}", "'lnik' is undefined"),
        ("verify_email.txt", "no subject", "no {% block subject %}"),
        ("verify_email.html", "{% if %}", "does not work"),
        ("welcome.txt", "{% block subject %}", "does not work"),
        ("welcome.html", "only html", "no template welcome.txt"),
        ("test.txt", "{% block subject %}two\nlines{% endblock %}", "not one line"),
    ],
)
def test_an_own_template_that_does_not_work_is_told_at_start(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    (tmp_path / "README.txt").write_text("{{ not a template }}")
    found = findings(mail_of(Mail(templates=tmp_path)))
    assert said in found["limen.E030"]
    assert name.partition(".")[0] in found["limen.E030"]


def test_own_templates_that_work_are_not_told_of(tmp_path):
    (tmp_path / "test.txt").write_text("{% block subject %}Hello{% endblock %}")
    assert findings(mail_of(Mail(templates=tmp_path))) == {}
