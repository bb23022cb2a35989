"""Codes of six digits: an account's are guessed so often, however many are sent; the links beside them stay good."""

import asyncio

import pytest
from tests.features.answers import refused
from tests.features.limits.conftest import on_sqlite, visitor_from
from tests.features.mailing import mailing_features
from tests.features.mini_app import open_app

from limen import Accounts
from limen.core.turns import MAX_IN_LINE, Turns
from limen.errors import Unavailable
from limen.features import MagicLinks
from limen.features.limits import Limits, LimitSettings
from limen.testing import outbox

pytestmark = pytest.mark.anyio

EMAIL = "alice@example.com"
PURPOSES = [("/auth/magic-link", "/auth/magic-link/verify"), ("/auth/email/verification", "/auth/email/verify")]


def wrong(code):
    """Another code."""
    return f"{(int(code) + 1) % 10**6:06d}"


@on_sqlite
async def test_ten_wrong_codes_an_hour_are_looked_at_and_the_link_stays_good(database_url):
    limits = Limits(settings=LimitSettings(_env_file=None))
    features = mailing_features(MagicLinks(), limits)
    async with open_app(database_url, features=features, settings={"email_verification": "optional"}) as mini:
        await mini.account(EMAIL)
        box = outbox(mini.auth)
        owner = mini.visitor()
        for ask, take in PURPOSES:
            looked_at = 0
            for hour in range(3):
                for number in range(4):
                    stranger = visitor_from(mini, f"198.51.100.{number}")
                    assert (await stranger.post(ask, json={"email": EMAIL})).status_code == 202
                    code = (await box.latest(to=EMAIL)).code
                    for _ in range(5):
                        answer = await stranger.post(take, json={"email": EMAIL, "code": wrong(code)})
                        looked_at += answer.status_code == 400
                assert looked_at == (10, 20, 20)[hour], take
                mini.clock.advance(hours=1, seconds=1)
            assert (await owner.post(ask, json={"email": EMAIL})).status_code == 202
            letter = await box.latest(to=EMAIL)
            refused(await owner.post(take, json={"email": EMAIL, "code": letter.code}), 429, "too_many_requests")
            assert (await owner.post(take, json={"token": letter.token})).status_code == 200
            mini.clock.advance(days=2)
            await mini.auth[Accounts].change(
                (await mini.auth.kernel.users.find_by_identifier(EMAIL)).id, values={"is_verified": False}
            )


@on_sqlite
async def test_strangers_who_ask_for_links_do_not_keep_the_owner_from_one(database_url):
    features = mailing_features(MagicLinks(), Limits(settings=LimitSettings(_env_file=None)))
    async with open_app(database_url, features=features) as mini:
        await mini.signed_in(EMAIL)
        box = outbox(mini.auth)
        for name in (EMAIL, "nobody@example.com"):
            for number in range(11):
                stranger = visitor_from(mini, f"198.51.100.{number}")
                answer = await stranger.post("/auth/magic-link", json={"email": name})
                assert answer.status_code == (202 if number < 10 else 429)
        owner = mini.visitor()  # at the address of before
        assert (await owner.post("/auth/magic-link", json={"email": EMAIL})).status_code == 202
        body = {"token": (await box.latest(to=EMAIL)).token}
        assert (await owner.post("/auth/magic-link/verify", json=body)).status_code == 200
        refused(await owner.post("/auth/magic-link", json={"email": "nobody@example.com"}), 429, "too_many_requests")


@on_sqlite
async def test_right_codes_use_nothing_up(database_url):
    features = mailing_features(MagicLinks(), Limits(settings=LimitSettings(_env_file=None, limits_code="1/hour")))
    async with open_app(database_url, features=features) as mini:
        await mini.account(EMAIL)
        box = outbox(mini.auth)
        for _ in range(3):
            browser = mini.visitor()
            await browser.post("/auth/magic-link", json={"email": EMAIL})
            code = (await box.latest(to=EMAIL)).code
            assert (
                await browser.post("/auth/magic-link/verify", json={"email": EMAIL, "code": code})
            ).status_code == 200


async def test_one_name_does_not_fill_the_lines_of_all():
    turns, met = Turns(), []
    go = asyncio.Event()

    async def come(name):
        try:
            async with turns.of(name):
                await go.wait()
                met.append(name)
        except Unavailable:
            met.append("refused")

    async with asyncio.TaskGroup() as group:
        for _ in range(MAX_IN_LINE + 50):
            group.create_task(come("attacked"))
        group.create_task(come("other"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert met == ["refused"] * 50
        go.set()
    assert met.count("other") == 1
    assert turns._lines == {}
