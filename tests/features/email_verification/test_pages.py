"""The pages that links lead to: they say little, load nothing, and use nothing up by themselves."""

import base64
import hashlib
import re

import pytest
from tests.features.mailing import open_mailing

from limen.features import EmailVerification, MagicLinks, PasswordReset
from limen.http.pages import Page

pytestmark = pytest.mark.anyio

PAGES = ("/auth/email/verify", "/auth/email/change/undo", "/auth/password/reset", "/auth/magic-link/verify")


async def test_each_page_is_whole_in_itself_and_may_talk_to_this_app_alone(opened):
    mini, _ = await open_mailing(opened, MagicLinks(), accounts={"deletion_grace_days": 30})
    for path in (*PAGES, "/auth/account/restore"):
        answer = await mini.visitor().get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        policy = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        for tag, directive in (("script", "script-src"), ("style", "style-src")):
            (inline,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
            expected = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
            assert policy[directive] == f"'sha256-{expected}'"
        assert not re.search(r"https?://|src=|@import|url\(", answer.text)


async def test_to_open_a_link_uses_nothing_up(opened):
    mini, box = await open_mailing(opened, verification="required")
    await mini.visitor().register()
    letter = await box.latest()
    for method in ("GET", "HEAD"):
        await mini.visitor().request(method, letter.link)
    answer = await mini.visitor().client.post("/auth/email/verify", json={"token": letter.token})
    assert answer.status_code == 200


async def test_pages_are_no_part_of_the_api_document(opened):
    mini, _ = await open_mailing(opened, MagicLinks())
    paths = (await mini.visitor().get("/openapi.json")).json()["paths"]
    assert all(list(paths[path]) == ["post"] for path in PAGES)


async def test_links_lead_to_the_apps_own_pages_where_it_names_them(opened, monkeypatch):
    monkeypatch.setenv("LIMEN_EMAIL_VERIFICATION_PAGE", "/welcome")
    monkeypatch.setenv("LIMEN_PASSWORD_RESET_PAGE", "/new-password")
    monkeypatch.setenv("LIMEN_MAGIC_LINKS_PAGE", "/come-in")
    mini, box = await open_mailing(opened, MagicLinks(), verification="required", auth_prefix="/id")
    visitor = mini.visitor()
    for path in ("register", "password/forgot", "magic-link"):
        body = {"email": "alice@example.com"}
        body |= {"password": "a long walk by the sea"} if path == "register" else {}
        assert (await visitor.client.post(f"/id/{path}", json=body)).status_code == 202
    links = [each.link.partition("#")[0] for each in await box.letters()]
    assert links == [f"http://localhost:8000/{page}" for page in ("welcome", "new-password", "come-in")]
    for path in ("email/verify", "password/reset", "magic-link/verify"):
        assert (await visitor.get(f"/id/{path}")).status_code == 405
    assert mini.auth[EmailVerification].undo_page == "/id/email/change/undo"
    assert mini.auth[PasswordReset].page == "/new-password"


def test_what_a_page_says_is_escaped():
    page = Page(title="<script>", words='"><img src=x>', button="&", next='/"onload="x')
    assert "<img" not in page.html()
    assert page.html().count("<script>") == 1
    assert 'data-next="/&quot;onload=&quot;x"' in page.html()
