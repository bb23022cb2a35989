"""`limen mail …` shows letters, tries the server and lists what waits."""

import json
import sys

import pytest
from tests.servers.ports import free_port
from tests.servers.smtp import SmtpServer

ADDRESS = "alice@example.com"

WITH_MAIL = """
from limen import Accounts, Auth, Passwords, Sessions, Tokens
from limen.features import Mail
from limen.testing import fast_hasher

auth = Auth(features=[Passwords(hasher=fast_hasher()), Tokens(), Sessions(), Accounts(), Mail(app_name="Example")])
"""


@pytest.fixture
def app(app_name, has_tables, home, monkeypatch) -> str:
    """An app with mail, migrated."""
    (home / f"{app_name}.py").write_text(WITH_MAIL)
    monkeypatch.setenv("LIMEN_APP", app_name)
    return app_name


def post_a_notice(limen) -> None:
    assert (
        limen("users", "create", "--email", ADDRESS, "--password", "-", stdin="a pass phrase of the tests\n").exit_code
        == 0
    )
    changed = limen("users", "set-password", ADDRESS, "--password", "-", stdin="another pass phrase of the tests\n")
    assert changed.exit_code == 0, changed.output
    assert "----- mail" not in changed.output, "a command prints no letters"


def test_what_a_command_posts_waits_for_a_worker(app, limen):
    post_a_notice(limen)
    (waiting,) = json.loads(limen("mail", "outbox", "--json").stdout)
    assert waiting["template"] == "password_changed"
    assert waiting["attempts"] == 0
    assert ADDRESS not in limen("mail", "outbox").stdout
    with SmtpServer() as server:
        delivered = limen("mail", "deliver", "--json")
        assert json.loads(delivered.stdout) == {"sent": 1}, "printed: no server is set"
        assert server.envelopes == []
    assert json.loads(limen("mail", "outbox", "--json").stdout) == []


@pytest.fixture
def set_anew(app, monkeypatch):
    """Change a setting of the app, which reads them once, when it is imported."""

    def change(name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        sys.modules.pop(app, None)

    return change


def test_send_test_says_whether_the_server_takes_letters(limen, set_anew):
    with SmtpServer() as server:
        set_anew("LIMEN_SMTP_URL", server.url)
        done = limen("mail", "send-test", ADDRESS)
        assert done.exit_code == 0, done.output
        assert server.messages[0]["Subject"] == "A test letter from Example"
    refused = limen("mail", "send-test", ADDRESS)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("limen: The letter was not taken: ")
    assert refused.stderr.count("\n") == 1
    assert limen("mail", "send-test", "nobody").exit_code == 1


def test_deliver_tries_the_server(limen, set_anew):
    post_a_notice(limen)
    set_anew("LIMEN_SMTP_URL", f"smtp://127.0.0.1:{free_port()}")
    assert limen("mail", "deliver").stdout == "Sent 0.\n"
    (waiting,) = json.loads(limen("mail", "outbox", "--json").stdout)
    assert waiting["attempts"] == 1
    assert waiting["last_error"] == "SMTPConnectError"


def test_preview_shows_every_letter_in_text_and_html(app, limen):
    names = json.loads(limen("mail", "preview", "--json").stdout)
    assert "verify_email" in names
    assert limen("mail", "preview").stdout.split() == names
    for name in names:
        assert limen("mail", "preview", name).stdout.startswith("Subject: ")
        assert limen("mail", "preview", name, "--html").stdout.startswith("<!doctype html>")
    unknown = limen("mail", "preview", "nothing")
    assert unknown.exit_code == 1
    assert "no template" in unknown.stderr


def test_preview_shows_the_apps_own_templates(limen, home, set_anew):
    (home / "letters").mkdir()
    (home / "letters" / "test.txt").write_text("{% block subject %}Own{% endblock %}")
    set_anew("LIMEN_MAIL_TEMPLATES", "letters")
    assert limen("mail", "preview", "test").stdout.startswith("Subject: Own\n")


def test_an_app_without_mail_says_so(app_name, limen, monkeypatch):
    monkeypatch.setenv("LIMEN_APP", app_name)
    answer = limen("mail", "preview")
    assert answer.exit_code == 1
    assert "add Mail()" in answer.stderr
