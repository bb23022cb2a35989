"""A sign-in that a step holds up: pending with a ticket, and on from there."""

import pytest
from fastapi import APIRouter, Request
from pydantic import BaseModel
from tests.features.answers import oauth_refused, refused
from tests.features.mini_app import both_carriers, features_of

from limen import Accounts, Feature
from limen.events import LoggedIn
from limen.http.responses import deliver
from limen.http.routing import LimenRoute
from limen.testing import PASSWORD

pytestmark = pytest.mark.anyio


class Answer(BaseModel):
    ticket: str
    answer: str


class Riddle(Feature):
    """A toy: who is asked a riddle signs in when it is answered."""

    name = "riddle"

    def __init__(self, name="riddle", amr="kba", asked=lambda subject: True):
        self.name = name
        self.amr = amr
        self.asked = asked

    def steps(self):
        return (self,)

    async def wants(self, proof):
        return self.asked(proof.subject)

    def routes(self):
        router = APIRouter(route_class=LimenRoute)

        @router.post(f"/auth/{self.name}")
        async def answer_riddle(body: Answer, request: Request):
            login, client = self.kernel.login, self.kernel.client(request)
            proof = await login.resume(body.ticket, step=self.name)
            if body.answer != "a river":
                return await self.ask_again(proof, client)
            return self.delivered(await login.pass_step(proof, client, step=self.name, amr=[self.amr]))

        return (router,)

    async def ask_again(self, proof, client):
        return self.delivered(await self.kernel.login.complete(proof, client))

    def delivered(self, outcome):
        return deliver(outcome, cookie=self.kernel.cookie)


@pytest.fixture
async def mini(opened):
    mini = await opened(features=features_of(Riddle()))
    await mini.account()
    return mini


async def answer(browser, ticket, said="a river", step="riddle"):
    return browser.keep(await browser.client.post(f"/auth/{step}", json={"ticket": ticket, "answer": said}))


@both_carriers
async def test_a_login_that_a_step_holds_up_is_pending_and_signs_nobody_in(mini):
    alice = mini.visitor()
    held = await alice.login()
    assert held.status_code == 200
    assert held.headers["cache-control"] == "no-store"
    assert held.json().keys() == {"status", "step", "ticket"}
    assert (held.json()["status"], held.json()["step"]) == ("pending", "riddle")
    assert "set-cookie" not in held.headers
    refused(await alice.me(), 401, "not_authenticated")
    ticket = {"Authorization": f"Bearer {held.json()['ticket']}"}
    refused(await mini.visitor().get("/users/me", headers=ticket), 401, "invalid_token")
    assert not mini.heard(LoggedIn)


@both_carriers
async def test_who_answers_the_step_is_signed_in_the_way_they_asked_for(mini):
    alice = mini.visitor()
    held = await alice.login(scope="items:read")
    done = await answer(alice, held.json()["ticket"])
    assert (done.status_code, done.json()["status"]) == (200, "complete")
    assert (await alice.me()).status_code == 200
    (event,) = mini.heard(LoggedIn)
    assert event.amr == ("pwd", "kba")
    if alice.carrier == "bearer":
        assert done.json()["scope"] == "items:read"
        assert (await alice.refresh()).json()["scope"] == "items:read"


@both_carriers
async def test_a_ticket_is_good_once(mini):
    alice = mini.visitor()
    ticket = (await alice.login()).json()["ticket"]
    assert (await answer(alice, ticket)).status_code == 200
    refused(await answer(alice, ticket), 400, "invalid_token")


@both_carriers
async def test_a_wrong_answer_uses_the_ticket_up_and_brings_the_next(mini):
    alice = mini.visitor()
    first = (await alice.login()).json()["ticket"]
    second = await answer(alice, first, "a road")
    assert second.json()["status"] == "pending"
    refused(await answer(alice, first), 400, "invalid_token")
    assert (await answer(alice, second.json()["ticket"])).json()["status"] == "complete"


@both_carriers
async def test_a_ticket_is_good_for_ten_minutes(mini):
    alice = mini.visitor()
    early, late = (await alice.login()).json()["ticket"], (await alice.login()).json()["ticket"]
    mini.clock.advance(minutes=9)
    assert (await answer(alice, early)).status_code == 200
    mini.clock.advance(minutes=1)
    refused(await answer(alice, late), 400, "invalid_token")


@both_carriers
async def test_a_ticket_that_nobody_gave_out_is_refused(mini):
    alice = mini.visitor()
    for ticket in ("", "nonsense", "\x00", "ünïcode", "x" * 5000):
        refused(await answer(alice, ticket), 400, "invalid_token")


@both_carriers
async def test_who_is_disabled_meanwhile_is_not_signed_in(mini):
    alice = mini.visitor()
    ticket = (await alice.login()).json()["ticket"]
    account = await mini.auth.kernel.users.find_by_identifier("alice@example.com")
    await mini.auth[Accounts].set_active(account.id, False)
    assert (await answer(alice, ticket)).status_code == 401


@both_carriers
async def test_two_steps_are_asked_in_order_and_a_ticket_fits_its_own_step_only(opened):
    mini = await opened(features=features_of(Riddle(), Riddle("oath", "user")))
    await mini.account()
    alice = mini.visitor()
    held = await alice.login()
    assert held.json()["step"] == "riddle"
    refused(await answer(alice, held.json()["ticket"], step="oath"), 400, "invalid_token")
    held = await answer(alice, (await alice.login()).json()["ticket"])
    assert (held.json()["status"], held.json()["step"]) == ("pending", "oath")
    refused(await answer(alice, held.json()["ticket"]), 400, "invalid_token")
    held = await answer(alice, (await alice.login()).json()["ticket"])
    done = await answer(alice, held.json()["ticket"], step="oath")
    assert done.json()["status"] == "complete"
    assert mini.heard(LoggedIn)[-1].amr == ("pwd", "kba", "user")


@both_carriers
async def test_a_step_holds_up_only_whom_it_asks(opened):
    asked = set()
    mini = await opened(features=features_of(Riddle(asked=asked.__contains__)))
    alice, bob = await mini.account(), await mini.account("bob@example.com")
    asked.add(alice.subject)
    assert (await mini.visitor().login()).json()["status"] == "pending"
    assert (await mini.visitor().login("bob@example.com")).json()["status"] == "complete"
    assert bob.subject not in asked


@both_carriers
async def test_a_pending_step_is_no_oracle_for_passwords_that_are_wrong(mini):
    refused(await mini.visitor().login(password="wrong"), 401, "invalid_credentials")


async def test_the_token_endpoint_names_the_step_in_oauths_words(mini):
    form = {"grant_type": "password", "username": "alice@example.com", "password": PASSWORD}
    body = oauth_refused(await mini.visitor().post("/auth/token", data=form), 400, "invalid_grant")
    assert (body["step"], bool(body["ticket"])) == ("riddle", True)
    assert (await answer(mini.visitor(), body["ticket"])).json()["status"] == "complete"


@both_carriers
async def test_a_malformed_scope_is_refused_before_the_step(mini):
    refused(await mini.visitor().login(scope="a  b"), 400, "invalid_scope")


async def test_a_delivery_that_nothing_brings_is_refused_before_the_step(mini):
    form = {"username": "alice@example.com", "password": PASSWORD}
    refused(await mini.visitor().post("/auth/login?deliver=pigeon", data=form), 400, "invalid_request")


@both_carriers
async def test_nothing_of_a_ticket_lies_in_the_database(mini):
    ticket = (await mini.visitor().login()).json()["ticket"]
    for table in mini.auth.tables():
        for row in await mini.auth.kernel.database.read(table.select()):
            assert ticket not in str(tuple(row))
