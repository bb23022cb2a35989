"""Whose account an identity is: the linking rule, linking on purpose, and unlinking."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.features.answers import refused as problem
from tests.features.hostile import lies
from tests.features.oauth_login.conftest import ORIGIN, Site, Traveller, refused

from limen import Accounts, ApiKeys
from limen.events import AccountDisowned, IdentityLinked, IdentityUnlinked, SessionsEnded
from limen.features import EmailVerification, Mail, PasswordReset
from limen.features.trusted_issuers import TrustedIssuer, TrustedIssuers
from limen.testing import PASSWORD, FakePerson, FakeProvider, outbox

pytestmark = pytest.mark.anyio

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


async def with_password(site: Site, *, email: str = "ann@example.com", is_verified: bool) -> Traveller:
    """Somebody with a password, signed in by cookie."""
    await site.mini.auth[Accounts].register(email=email, password=PASSWORD, is_verified=is_verified)
    ann = site.browser()
    await password_sign_in(ann, email)
    return ann


async def password_sign_in(traveller: Traveller, email: str = "ann@example.com") -> Any:
    form = {"username": email, "password": PASSWORD}
    return await traveller.client.post("/auth/login?deliver=cookie", data=form)


# --- by e-mail


@pytest.mark.parametrize("is_verified", [True, False])
async def test_an_address_alone_joins_no_account_by_default(site: Site, is_verified: bool) -> None:
    ann = await with_password(site, is_verified=is_verified)
    assert refused(await site.browser().sign_in()) == "account_exists"
    assert (await ann.me()).status_code == 200
    assert (await password_sign_in(site.browser())).status_code == 200


async def test_an_address_that_both_sides_verified_joins_if_the_setting_allows(open_site: Any) -> None:
    site = await open_site(link_by_email="true")
    ann = await with_password(site, is_verified=True)
    there = site.browser()
    assert (await there.sign_in()).headers["location"] == f"{ORIGIN}/"
    assert (await there.me()).json()["id"] == (await ann.me()).json()["id"]
    assert (await password_sign_in(site.browser())).status_code == 200, "the owner's own password lives on"


@pytest.mark.parametrize("said", [False, None, "true", "True", 1, ["true"], {"a": 1}])
async def test_what_is_not_verified_there_joins_nobody(open_site: Any, said: object) -> None:
    """`email_verified` is a boolean: the text "true" is not true."""
    site = await open_site(link_by_email="true")
    site.fake.person = FakePerson(email_verified=said)
    await with_password(site, is_verified=True)
    assert refused(await site.browser().sign_in()) == "account_exists"
    site.fake.person = FakePerson(subject="2", email="new@example.com", email_verified=said)
    newcomer = site.browser()
    await newcomer.sign_in()
    assert (await newcomer.me()).json()["is_verified"] is False


async def test_an_address_that_nobody_verified_is_shown_and_stays_free_for_its_owner(open_site: Any) -> None:
    site = await open_site(link_by_email="true")
    site.fake.person = FakePerson(subject="stranger", email="Ann@example.com", email_verified=False)
    stranger = site.browser()
    await stranger.sign_in()
    shown = (await stranger.me()).json()
    assert (shown["email"], shown["is_verified"]) == ("Ann@example.com", False)

    form = {"email": "ann@example.com", "password": PASSWORD}
    ann = await site.browser().client.post("/auth/register", json=form)
    assert (ann.status_code, ann.json()["email"]) == (201, "ann@example.com")
    found = await site.mini.auth[Accounts].find("ann@example.com")
    assert found.subject == ann.json()["id"] != shown["id"]
    site.fake.person = FakePerson(subject="ann", email_verified=True)
    owner = site.browser()
    await owner.sign_in()
    me = (await owner.me()).json()
    assert (me["id"], me["is_verified"]) == (ann.json()["id"], True)
    assert (await stranger.me()).json() == shown, "the stranger keeps what is theirs"
    problem(
        await stranger.client.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=OWN_PAGE),
        401,
        "invalid_credentials",
    )


async def test_nothing_is_mailed_to_an_address_that_nobody_verified(
    open_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMEN_ACCOUNTS_DELETION_GRACE_DAYS", "1")
    site = await open_site(more=(Mail(),))
    letters, accounts = outbox(site.mini.auth), site.mini.auth[Accounts]
    for number, is_verified in enumerate((False, True)):
        email = f"ann-{number}@example.com"
        site.fake.person = FakePerson(subject=email, email=email, email_verified=is_verified)
        ann = site.browser()
        await ann.sign_in()
        user_id = accounts.kernel.users.parse_key((await ann.me()).json()["id"])
        await accounts.schedule_removal(await accounts.get(user_id))
        await accounts.remove(user_id)
    posted = [(letter.to, letter.template) for letter in await letters.letters()]
    assert ("ann-1@example.com", "deletion_scheduled") in posted
    assert len(posted) > 1
    assert {to for to, _ in posted} == {"ann-1@example.com"}


async def test_where_addresses_must_be_proved_nobody_signs_up_with_one_that_nobody_verified(open_site: Any) -> None:
    proving = (Mail(), PasswordReset(), EmailVerification())
    site = await open_site(settings={"email_verification": "required"}, more=proving)
    site.fake.person = FakePerson(email_verified=False)
    assert refused(await site.browser().sign_in()) == "email_missing"
    site.fake.person = FakePerson()
    assert (await site.browser().sign_in()).headers["location"] == f"{ORIGIN}/"


async def test_whoever_waits_in_an_account_with_somebody_elses_address_is_thrown_out(open_site: Any) -> None:
    """Pre-hijacking: the attacker registers the victim's address first, and waits with a password, a session, a key
    and an identity of their own."""
    site = await open_site(link_by_email="true", more=(ApiKeys(),))
    attacker = await with_password(site, is_verified=False)
    key = await attacker.client.post("/auth/api-keys", json={"name": "back door"}, headers=OWN_PAGE)
    assert key.status_code == 201, key.text
    site.fake.person = FakePerson(subject="attacker", email="attacker@example.com")
    back = await linking(attacker)
    assert (await attacker.client.get(back)).headers["location"] == f"{ORIGIN}/"
    reset = await site.mini.auth.kernel.one_time.issue(
        "reset", subject=(await attacker.me()).json()["id"], payload={}, lifetime=timedelta(hours=1)
    )

    site.fake.person = FakePerson(subject="victim")
    victim = site.browser()
    assert (await victim.sign_in()).headers["location"] == f"{ORIGIN}/"
    me = (await victim.me()).json()
    assert (me["email"], me["is_verified"]) == ("ann@example.com", True)

    problem(await attacker.me(), 401, "invalid_token")
    assert (await password_sign_in(site.browser())).status_code == 401
    shown = {"X-API-Key": key.json()["key"]}
    assert (await site.browser().client.get("/users/me", headers=shown)).status_code == 401
    assert [each["email"] for each in (await victim.client.get("/auth/oauth/accounts")).json()] == ["ann@example.com"]
    assert await site.mini.auth.kernel.one_time.consume("reset", reset) is None
    site.fake.person = FakePerson(subject="attacker", email="attacker@example.com")
    other = site.browser()
    await other.sign_in()
    assert (await other.me()).json()["id"] != me["id"]
    assert [event.reason for event in site.mini.heard(AccountDisowned)] == ["address_proved"]
    assert any(event.reason == "address_proved" for event in site.mini.heard(SessionsEnded))


async def test_who_finds_the_account_that_they_made_a_moment_ago_comes_in(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two first sign-ins at once, the later finds no identity yet, and then an account with the address."""
    first, second = site.browser(), site.browser()
    backs = [await first.go(), await second.go()]
    identities = site.mini.auth.kernel.identities
    find = identities.find

    async def found_a_moment_too_early(issuer: str, subject: str) -> Any:
        monkeypatch.setattr(identities, "find", find)
        found = await find(issuer, subject)
        assert (await first.client.get(backs[0])).headers["location"] == f"{ORIGIN}/"
        return found

    monkeypatch.setattr(identities, "find", found_a_moment_too_early)
    assert (await second.client.get(backs[1])).headers["location"] == f"{ORIGIN}/"
    assert (await first.me()).json()["id"] == (await second.me()).json()["id"]


async def test_whatever_a_provider_says_of_a_person_is_no_error_of_ours(site: Site) -> None:
    came_in = 0
    for site.fake.claims in lies():
        answer = await site.browser().sign_in()
        came_in += answer.headers["location"] == f"{ORIGIN}/"
        if answer.headers["location"] != f"{ORIGIN}/":
            assert refused(answer) in ("invalid_token", "email_missing", "provider_unavailable"), site.fake.claims
    assert came_in == 4, "a blank, two in other letters, and one with quotes are names like others"


async def test_two_first_sign_ins_at_once_make_one_account(site: Site) -> None:
    travellers = [site.browser() for _ in range(6)]
    backs = [await each.go() for each in travellers]
    answers = await asyncio.gather(*(each.client.get(back) for each, back in zip(travellers, backs, strict=True)))
    assert {answer.headers["location"] for answer in answers} == {f"{ORIGIN}/"}
    assert len({(await each.me()).json()["id"] for each in travellers}) == 1


@pytest.mark.parametrize("way", ["sign up", "join", "claim", "native"])
async def test_a_deleted_account_does_not_come_back_by_itself(open_site: Any, way: str) -> None:
    site = await open_site(link_by_email="true")
    accounts, ann = site.mini.auth[Accounts], site.browser()
    await ann.sign_in()
    before = (await accounts.find("ann@example.com")).id
    await accounts.remove(before)
    if way in ("join", "claim"):
        await accounts.register(email="ann@example.com", password=PASSWORD, is_verified=way == "join")
    if way == "native":
        body = {"id_token": site.fake.id_token()}
        answer = await site.browser().client.post("/auth/oauth/fake/id-token", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "access_denied")
    else:
        assert refused(await site.browser().sign_in()) == "access_denied"
    assert (await password_sign_in(site.browser())).status_code == (200 if way in ("join", "claim") else 401)
    assert len(site.mini.heard(IdentityLinked)) == 1
    issuer, subject = site.fake.issuer, site.fake.person.subject
    assert await site.login.readmit(issuer=issuer, subject=subject)
    assert not await site.login.readmit(issuer=issuer, subject=subject)
    again = site.browser()
    assert (await again.sign_in()).headers["location"] == f"{ORIGIN}/"
    assert (await again.me()).json()["id"] != str(before)


async def test_who_left_can_connect_the_account_there_to_another_one_here(site: Site) -> None:
    await site.browser().sign_in()
    await site.mini.auth[Accounts].remove((await site.mini.auth[Accounts].find("ann@example.com")).id)
    ann = await with_password(site, email="ann@work.example", is_verified=True)
    assert (await ann.client.get(await linking(ann))).headers["location"] == f"{ORIGIN}/"
    later = site.browser()
    await later.sign_in()
    assert (await later.me()).json()["id"] == (await ann.me()).json()["id"]


# --- on purpose


async def linking(traveller: Traveller, provider: str = "fake", return_to: str = "/") -> str:
    """Begin to link from one of the app's own pages, and go there; the URL that comes back."""
    begun = await traveller.client.get(
        f"/auth/oauth/{provider}/authorize", params={"intent": "link", "return_to": return_to}, headers=OWN_PAGE
    )
    assert begun.status_code == 303, begun.text
    return await traveller.site.fake.sign_in(begun.headers["location"])


async def test_one_links_an_account_there_to_ones_own(site: Site) -> None:
    ann = await with_password(site, email="ann@work.example", is_verified=True)
    before = (await ann.me()).json()["id"]
    answer = await ann.client.get(await linking(ann, return_to="/settings"))
    assert answer.headers["location"] == f"{ORIGIN}/settings"
    assert (await ann.me()).json()["id"] == before
    (account,) = (await ann.client.get("/auth/oauth/accounts")).json()
    assert (account["provider"], account["email"]) == ("fake", "ann@example.com")
    assert [event.provider for event in site.mini.heard(IdentityLinked)] == ["fake"]
    later = site.browser()
    await later.sign_in()
    assert (await later.me()).json()["id"] == before


async def test_an_app_of_tokens_links_by_a_post(site: Site) -> None:
    await site.mini.account("ann@work.example")
    ann = site.browser()
    tokens = (await ann.client.post("/auth/login", data={"username": "ann@work.example", "password": PASSWORD})).json()
    shown = {"Authorization": f"Bearer {tokens['access_token']}"}
    begun = await ann.client.post("/auth/oauth/fake/link", json={"return_to": "/settings"}, headers=shown)
    assert begun.status_code == 200, begun.text
    answer = await ann.client.get(await site.fake.sign_in(begun.json()["url"]))
    assert answer.headers["location"] == f"{ORIGIN}/settings"
    assert len((await ann.client.get("/auth/oauth/accounts", headers=shown)).json()) == 1


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_no_foreign_page_begins_a_link(site: Site, headers: dict[str, str]) -> None:
    ann = await with_password(site, email="ann@work.example", is_verified=True)
    begun = await ann.client.get("/auth/oauth/fake/authorize?intent=link", headers=headers)
    problem(begun, 403, "cross_origin")
    problem(await ann.client.post("/auth/oauth/fake/link", json={}, headers=headers), 403, "cross_origin")


async def test_nobody_links_without_being_signed_in_just_now(site: Site) -> None:
    problem(
        await site.browser().client.get("/auth/oauth/fake/authorize?intent=link", headers=OWN_PAGE),
        401,
        "not_authenticated",
    )
    ann = await with_password(site, email="ann@work.example", is_verified=True)
    site.mini.clock.advance(minutes=11)
    begun = await ann.client.get("/auth/oauth/fake/authorize?intent=link", headers=OWN_PAGE)
    problem(begun, 401, "insufficient_user_authentication")


async def test_a_link_that_somebody_else_began_links_nothing(site: Site) -> None:
    """The attacker's callback in the victim's browser would give the attacker a way into the victim's account."""
    attacker = await with_password(site, email="attacker@example.com", is_verified=True)
    victim = await with_password(site, email="victim@example.com", is_verified=True)
    back = await linking(attacker)
    assert refused(await victim.client.get(back)) == "invalid_state"
    assert (await victim.client.get("/auth/oauth/accounts")).json() == []


async def test_a_link_ends_with_the_session_that_began_it(site: Site) -> None:
    ann = await with_password(site, email="ann@work.example", is_verified=True)
    back = await linking(ann)
    await ann.client.post("/auth/logout", headers=OWN_PAGE)
    assert refused(await ann.client.get(back)) == "invalid_state"
    assert site.mini.heard(IdentityLinked) == []


async def test_an_identity_lets_one_person_in_only(site: Site) -> None:
    await site.browser().sign_in()
    bob = await with_password(site, email="bob@example.com", is_verified=True)
    assert refused(await bob.client.get(await linking(bob))) == "identity_taken"
    assert (await bob.client.get("/auth/oauth/accounts")).json() == []


# --- away with it


async def test_the_last_way_in_stays(site: Site) -> None:
    ann = site.browser()
    await ann.sign_in()
    (account,) = (await ann.client.get("/auth/oauth/accounts")).json()
    problem(await ann.client.delete(f"/auth/oauth/accounts/{account['id']}", headers=OWN_PAGE), 409, "last_credential")
    assert len((await ann.client.get("/auth/oauth/accounts")).json()) == 1


async def test_one_of_two_accounts_there_can_go_and_then_none(site: Site) -> None:
    ann = site.browser()
    await ann.sign_in()
    site.fake.person = FakePerson(subject="second", email="second@example.com")
    await ann.client.get(await linking(ann))
    assert [event.by_sign_up for event in site.mini.heard(IdentityLinked)] == [True, False]
    accounts = (await ann.client.get("/auth/oauth/accounts")).json()
    gone = await asyncio.gather(
        *(ann.client.delete(f"/auth/oauth/accounts/{each['id']}", headers=OWN_PAGE) for each in accounts)
    )
    assert sorted(answer.status_code for answer in gone) == [204, 409], "of two at once, one stays"
    assert len(site.mini.heard(IdentityUnlinked)) == 1


async def test_with_a_password_the_last_account_there_can_go(site: Site) -> None:
    ann = await with_password(site, email="ann@work.example", is_verified=True)
    await ann.client.get(await linking(ann))
    (account,) = (await ann.client.get("/auth/oauth/accounts")).json()
    assert (await ann.client.delete(f"/auth/oauth/accounts/{account['id']}", headers=OWN_PAGE)).status_code == 204
    assert (await ann.client.get("/auth/oauth/accounts")).json() == []


async def test_only_what_lets_one_in_is_listed_and_counts(open_site: Any, fake: FakeProvider) -> None:
    """An identity of a provider that is no longer offered, one of another feature, and one that works."""
    gone, elsewhere = FakeProvider(issuer="https://gone.test"), "https://project.supabase.co/auth/v1"
    site = await open_site(providers=[fake.provider()])
    ann = site.browser()
    await ann.sign_in()
    account = await site.mini.auth[Accounts].find("ann@example.com")
    for issuer in (gone.issuer, elsewhere):
        await site.mini.auth.kernel.newcomers.link(account, provider="gone", issuer=issuer, subject="ann")
    (shown,) = (await ann.client.get("/auth/oauth/accounts")).json()
    assert shown["issuer"] == fake.issuer
    problem(await ann.client.delete(f"/auth/oauth/accounts/{shown['id']}", headers=OWN_PAGE), 409, "last_credential")
    for identity in await site.mini.auth.kernel.identities.list_of(account.id):
        if identity.issuer != fake.issuer:
            path = f"/auth/oauth/accounts/{identity.id}"
            problem(await ann.client.delete(path, headers=OWN_PAGE), 404, "not_found")
    assert len(await site.mini.auth.kernel.identities.list_of(account.id)) == 3


@pytest.mark.parametrize("users", ["make", None])
async def test_another_features_identity_is_a_way_in_where_it_lets_one_in(open_site: Any, users: Any) -> None:
    trusted = TrustedIssuer("https://id.example.com", users=users)
    site = await open_site(more=(TrustedIssuers([trusted]),))
    ann = site.browser()
    await ann.sign_in()
    account = await site.mini.auth[Accounts].find("ann@example.com")
    await site.mini.auth[TrustedIssuers].link(account, issuer=trusted.issuer, subject="ann")
    (shown,) = (await ann.client.get("/auth/oauth/accounts")).json()
    gone = await ann.client.delete(f"/auth/oauth/accounts/{shown['id']}", headers=OWN_PAGE)
    assert gone.status_code == (204 if users else 409)


async def test_other_peoples_accounts_there_are_not_to_be_seen_or_removed(site: Site) -> None:
    ann = site.browser()
    await ann.sign_in()
    (account,) = (await ann.client.get("/auth/oauth/accounts")).json()
    bob = await with_password(site, email="bob@example.com", is_verified=True)
    assert (await bob.client.get("/auth/oauth/accounts")).json() == []
    problem(await bob.client.delete(f"/auth/oauth/accounts/{account['id']}", headers=OWN_PAGE), 404, "not_found")
    problem(await site.browser().client.get("/auth/oauth/accounts"), 401, "not_authenticated")


async def test_a_code_dies_with_the_identity_that_it_came_by(site: Site) -> None:
    ann = await with_password(site, email="ann@work.example", is_verified=True)
    await ann.client.get(await linking(ann))
    there = site.browser()
    answer = await there.sign_in(deliver="token")
    (account,) = (await ann.client.get("/auth/oauth/accounts")).json()
    await ann.client.delete(f"/auth/oauth/accounts/{account['id']}", headers=OWN_PAGE)
    problem(await there.exchange(answer), 401, "invalid_grant")
