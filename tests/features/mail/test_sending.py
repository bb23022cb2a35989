"""Letters reach a real SMTP server after the request, whatever state the server is in."""

import ssl
import time
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
import trustme
from tests.features.conftest import OpenApp
from tests.features.mail.collecting import eventually
from tests.features.mini_app import MiniApp, features_of
from tests.servers.ports import free_port
from tests.servers.smtp import SmtpServer

from limen.errors import ConfigurationError
from limen.features.mail import Letter, Mail
from limen.features.mail.delivery import LONGEST_PAUSE, pause_after
from limen.features.mail.mailers import SmtpMailer

pytestmark = pytest.mark.anyio

ADDRESS = "alice@example.com"
TEST = Letter(to=ADDRESS, template="test")


@pytest.fixture
def set_url(monkeypatch):
    """Set `LIMEN_SMTP_URL`."""
    return lambda url: monkeypatch.setenv("LIMEN_SMTP_URL", url)


async def open_with_mail(opened: OpenApp, **options) -> tuple[MiniApp, Mail]:
    mini = await opened(features=features_of(Mail(**options)))
    return mini, mini.auth[Mail]


async def test_a_posted_letter_leaves_by_itself_with_everything_that_a_message_needs(opened, set_url, monkeypatch):
    with SmtpServer(login=("us er", "p@ss/w:rd")) as server:
        set_url(f"smtp://us%20er:p%40ss%2Fw%3Ard@127.0.0.1:{server.port}")
        monkeypatch.setenv("LIMEN_MAIL_FROM", "The Café <no-reply@example.com>")
        _, mail = await open_with_mail(opened, app_name="The Café")
        await mail.post(TEST)
        await eventually(lambda: server.envelopes)
    (message,), (envelope,) = server.messages, server.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@example.com", [ADDRESS])
    assert message["From"] == "The Café <no-reply@example.com>"
    assert message["To"] == ADDRESS
    assert message["Subject"] == "A test letter from The Café"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.com>")
    assert abs(parsedate_to_datetime(message["Date"]).timestamp() - time.time()) < 60
    assert "The Café can send mail." in message.get_body(("plain",)).get_content()
    assert "The Café can send mail." in message.get_body(("html",)).get_content()
    await mail.deliver()  # waits for the round that is going on
    assert await mail.waiting() == ()


async def test_wrong_credentials_keep_the_letter(opened, set_url):
    with SmtpServer(login=("user", "right")) as server:
        set_url(f"smtp://user:wrong@127.0.0.1:{server.port}")
        _, mail = await open_with_mail(opened)
        await mail.post(TEST)
        await mail.deliver()
        (waiting,) = await mail.waiting()
        assert "535" in (waiting.last_error or "")
        assert server.envelopes == []


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context_of(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_starttls_comes_before_the_password(opened, set_url, authority, monkeypatch, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with SmtpServer(login=("user", "secret"), tls=context_of(authority)) as server:
        set_url(f"{server.url}?starttls=required")
        _, mail = await open_with_mail(opened)
        await mail.post(TEST)
        await eventually(lambda: server.envelopes)


@pytest.mark.parametrize("case", ["unknown authority", "another name"])
async def test_a_certificate_that_proves_nothing_gets_no_letter(opened, authority, case, monkeypatch, tmp_path):
    name = "127.0.0.2" if case == "another name" else "127.0.0.1"
    trusted = authority if case == "another name" else trustme.CA()
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with SmtpServer(login=("user", "secret"), tls=context_of(authority, name)) as server:
        monkeypatch.setenv("LIMEN_SMTP_URL", server.url)
        _, mail = await open_with_mail(opened)
        await mail.post(TEST)
        await mail.deliver()
        assert server.asked == 0
        assert [each.attempts for each in await mail.waiting()] == [1]


async def test_a_server_that_offers_no_tls_gets_no_letter_where_it_is_required(opened, set_url):
    with SmtpServer() as server:
        set_url(f"{server.url}?starttls=required")
        _, mail = await open_with_mail(opened)
        await mail.post(TEST)
        await mail.deliver()
        assert server.asked == 0
        assert len(await mail.waiting()) == 1


# --- a server that is down, slow, choosy


async def test_the_request_succeeds_while_the_server_is_down_and_the_letter_leaves_later(opened, set_url):
    port = free_port()
    set_url(f"smtp://127.0.0.1:{port}")
    mini, mail = await open_with_mail(opened)
    browser = await mini.signed_in(ADDRESS)
    change = {"current_password": "correct horse battery staple", "new_password": "another horse battery staple"}
    assert (await browser.post("/auth/password/change", json=change)).status_code == 204
    await mail.deliver()
    (waiting,) = await mail.waiting()
    assert waiting.template == "password_changed"
    assert waiting.attempts == 1
    with SmtpServer(port=port) as server:
        mini.clock.advance(seconds=13)
        assert await mail.deliver() == 1
        assert [each["To"] for each in server.messages] == [ADDRESS]
    assert await mail.waiting() == ()


async def test_a_server_that_hangs_holds_up_no_request(opened, set_url, monkeypatch):
    monkeypatch.setattr("limen.features.mail.delivery.SEND_SECONDS", 0.3)
    with SmtpServer() as server:
        server.slowness = 3
        set_url(server.url)
        mini, mail = await open_with_mail(opened)
        began = time.monotonic()
        await mail.post(TEST)
        assert (await mini.visitor().get("/users/me")).status_code == 401
        assert time.monotonic() - began < 2
        await mail.deliver()
        (waiting,) = await mail.waiting()
        assert waiting.last_error == "timed out"


async def test_an_unknown_mailbox_is_given_up_at_once(opened, set_url, caplog):
    with SmtpServer() as server:
        server.answers = {ADDRESS: "550 5.1.1 no such mailbox"}
        set_url(server.url)
        _, mail = await open_with_mail(opened)
        await mail.post(TEST)
        await mail.deliver()
        (waiting,) = await mail.waiting()
        assert waiting.given_up_at is not None
        assert waiting.due_at is None
    assert "is given up" in caplog.text
    assert ADDRESS not in caplog.text


@pytest.mark.parametrize("answer", ["450 4.2.0 greylisted", "550 5.7.1 relaying denied", "451 try later"])
async def test_what_may_pass_is_tried_again(opened, set_url, answer):
    with SmtpServer() as server:
        server.answers = {ADDRESS: answer}
        set_url(server.url)
        mini, mail = await open_with_mail(opened)
        await mail.post(TEST)
        await mail.deliver()
        server.answers = {}
        assert await mail.deliver() == 0, "not before its pause is over"
        mini.clock.advance(seconds=13)
        assert await mail.deliver() == 1
        assert len(server.envelopes) == 1


async def test_pauses_grow_to_an_hour_and_a_letter_is_given_up_after_two_days(opened, set_url, caplog):
    set_url(f"smtp://127.0.0.1:{free_port()}")
    mini, mail = await open_with_mail(opened)
    await mail.post(Letter(to=ADDRESS, template="reset_password", values=RESET))
    pauses = []
    for _ in range(100):
        await mail.deliver()
        (waiting,) = await mail.waiting()
        if waiting.given_up_at is not None:
            break
        pauses.append(waiting.due_at - mini.clock.now())
        mini.clock.advance(seconds=pauses[-1].total_seconds() + 1)
    assert timedelta(seconds=7) < pauses[0] < timedelta(seconds=13)
    assert max(pauses) < LONGEST_PAUSE * 1.25
    assert timedelta(hours=47) < sum(pauses, timedelta()) < timedelta(hours=49)
    assert 45 < waiting.attempts < 75
    assert waiting.last_error == "too old"
    assert "c2VjcmV0" not in caplog.text
    mini.clock.advance(days=31)
    await mail.purge()
    assert await mail.waiting() == ()


RESET = {"link": "https://example.com/#token=c2VjcmV0", "valid_for": timedelta(hours=1)}


async def test_a_letter_whose_link_is_over_is_not_sent(opened, set_url):
    port = free_port()
    set_url(f"smtp://127.0.0.1:{port}")
    mini, mail = await open_with_mail(opened)
    await mail.post(Letter(to=ADDRESS, template="reset_password", values=RESET, good_for=timedelta(hours=1)))
    mini.clock.advance(hours=1, seconds=1)
    with SmtpServer(port=port) as server:
        assert await mail.deliver() == 0
        assert server.envelopes == []


def test_pauses_have_jitter_so_that_workers_do_not_all_come_back_at_once():
    assert len({pause_after(3) for _ in range(20)}) > 10
    assert pause_after(10_000) <= LONGEST_PAUSE * 1.25


async def test_stopping_lets_what_is_being_sent_arrive(opened, set_url):
    with SmtpServer() as server:
        server.slowness = 0.5
        set_url(server.url)
        _, mail = await open_with_mail(opened)
        await mail.post(TEST)
        await eventually(lambda: server.asked)
        await mail.stop()
        assert len(server.envelopes) == 1
        assert await mail.waiting() == ()


async def test_without_a_server_letters_are_printed(opened, capsys):
    _, mail = await open_with_mail(opened)
    await mail.post(Letter(to=ADDRESS, template="reset_password", values=RESET))
    await mail.deliver()
    printed = capsys.readouterr()
    assert "https://example.com/#token=c2VjcmV0" in printed.err
    assert printed.out == ""


async def test_without_aiosmtplib_a_server_is_refused_in_one_sentence(opened, set_url, monkeypatch):
    set_url("smtp://mail.example.com")
    monkeypatch.setattr("limen.features.mail.feature.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'limen\[email\]'"):
        await open_with_mail(opened)


async def test_smtp_is_what_the_url_asks_for(opened, set_url):
    set_url("smtps://mail.example.com")
    _, mail = await open_with_mail(opened)
    assert isinstance(mail.delivery.mailer, SmtpMailer)
    assert (
        repr(mail.delivery.mailer._server)
        == "SmtpServer(host='mail.example.com', port=465, username=None, tls='wrapped')"
    )
