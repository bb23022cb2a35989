"""How keys are fetched: seldom, once, from nowhere else, and never lost again."""

import asyncio
import gzip
import json
import time
from collections.abc import Callable
from threading import Event

import pytest
from tests.features.trusted_issuers.conftest import Service, TurnedClock, Visit
from tests.features.trusted_issuers.key_server import KEYS, METADATA, OPENID, Answer, KeyServer

from limen import TrustedIssuer, Verifier
from limen.core.keys import SigningKey
from limen.http import published_keys

pytestmark = pytest.mark.anyio

Misbehaviour = Callable[[KeyServer], None]


def stranger() -> SigningKey:
    return SigningKey.generate("ES256")


# --- seldom and once


async def test_many_requests_at_once_cost_one_fetch(service: Service, issuer: KeyServer) -> None:
    answers = await asyncio.gather(*(service.who(issuer.token(sub=str(n))) for n in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert issuer.asked == {METADATA: 1, KEYS: 1}


async def test_a_service_in_steady_state_asks_nobody(service: Service, issuer: KeyServer) -> None:
    for n in range(20):
        assert (await service.who(issuer.token(sub=str(n)))).status_code == 200
    assert issuer.asked == {METADATA: 1, KEYS: 1}


async def test_openid_metadata_will_do(service: Service, issuer: KeyServer) -> None:
    issuer.answers[OPENID] = issuer.answers.pop(METADATA)
    assert (await service.who(issuer.token())).status_code == 200


async def test_with_a_configured_url_no_metadata_is_asked(
    opened: Visit, issuer: KeyServer, other_issuer: KeyServer
) -> None:
    """The operator may name another origin; a document may not."""
    other_issuer.publish(issuer.key)
    trusted = TrustedIssuer(issuer.issuer, jwks_url=other_issuer.origin + KEYS)
    service = await opened(Verifier(trusted))
    assert (await service.who(issuer.token())).status_code == 200
    assert not issuer.asked
    assert other_issuer.asked == {KEYS: 1}


async def test_a_caller_who_gives_up_does_not_end_the_fetch_for_the_others(service: Service, issuer: KeyServer) -> None:
    issuer.answers[KEYS].held = Event()
    impatient, patient = (asyncio.create_task(service.who(issuer.token(sub=sub))) for sub in ("1", "2"))
    await asyncio.sleep(0.1)
    impatient.cancel()
    issuer.answers[KEYS].held.set()
    assert (await patient).status_code == 200
    assert issuer.asked[KEYS] == 1


# --- keys that are not known


async def test_unknown_keys_cost_one_fetch_a_cooldown_however_many_tokens_come(
    service: Service, issuer: KeyServer, clock: TurnedClock
) -> None:
    await service.who(issuer.token())
    answers = await asyncio.gather(*(service.who(issuer.token(key=stranger())) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {401}
    assert issuer.asked[KEYS] == 2
    clock.advance(seconds=15)
    await service.who(issuer.token(key=stranger()))
    assert issuer.asked[KEYS] == 2
    clock.advance(seconds=16)
    await service.who(issuer.token(key=stranger()))
    assert issuer.asked == {METADATA: 1, KEYS: 3}


async def test_a_new_key_is_found_at_once(service: Service, issuer: KeyServer) -> None:
    old = issuer.token()
    await service.who(old)
    issuer.rotate()
    answers = await asyncio.gather(*(service.who(issuer.token(sub=str(n))) for n in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert issuer.asked[KEYS] == 2


async def test_a_new_algorithm_is_found_at_once(service: Service, issuer: KeyServer) -> None:
    await service.who(issuer.token())
    issuer.key = SigningKey.generate("EdDSA")
    issuer.publish(issuer.key)
    assert (await service.who(issuer.token())).status_code == 200


async def test_where_an_unknown_key_cannot_be_asked_for_nothing_is_decided(service: Service, issuer: KeyServer) -> None:
    await service.who(issuer.token())
    issuer.answers[KEYS] = Answer(status=500)
    for _ in range(3):
        answer = await service.who(issuer.token(key=stranger()))
        assert answer.status_code == 503
        assert 0 < int(answer.headers["Retry-After"]) <= 30
    assert issuer.asked[KEYS] == 2
    assert (await service.who(issuer.token(sub="known key"))).status_code == 200


# --- keys that grow old


async def test_stale_keys_serve_while_fresh_ones_are_fetched(
    service: Service, issuer: KeyServer, clock: TurnedClock
) -> None:
    await service.who(issuer.token())
    retired, fresh = issuer.key, stranger()
    issuer.publish(fresh)
    issuer.answers[KEYS].held = held = Event()
    clock.advance(minutes=11)
    before = time.monotonic()
    assert (await service.who(issuer.token(key=retired, sub="1"))).status_code == 200
    assert time.monotonic() - before < 1
    held.set()
    await service.landed()
    assert issuer.asked[KEYS] == 2
    assert (await service.who(issuer.token(key=fresh))).status_code == 200
    assert (await service.who(issuer.token(key=retired, sub="2"))).status_code == 401


@pytest.mark.parametrize(("max_age", "still_fresh", "stale"), [(1, 45, 16), (120, 105, 16), (86400, 585, 16)])
async def test_keys_are_fresh_for_as_long_as_the_issuer_says_within_a_minute_and_ten(
    opened: Visit, issuer: KeyServer, clock: TurnedClock, max_age: int, still_fresh: int, stale: int
) -> None:
    issuer.publish(issuer.key, max_age=max_age)
    service = await opened(Verifier(issuer.issuer, clock=clock))
    await service.who(issuer.token())
    clock.advance(seconds=still_fresh)
    await service.who(issuer.token(sub="1"))
    await service.landed()
    assert issuer.asked[KEYS] == 1
    clock.advance(seconds=stale)
    await service.who(issuer.token(sub="2"))
    await service.landed()
    assert issuer.asked[KEYS] == 2


async def test_metadata_is_asked_again_once_an_hour_and_when_the_keys_have_moved(
    service: Service, issuer: KeyServer, clock: TurnedClock
) -> None:
    await service.who(issuer.token())
    issuer.answers["/tenant/moved"] = issuer.answers.pop(KEYS)
    issuer.say(METADATA, {"issuer": issuer.issuer, "jwks_uri": f"{issuer.origin}/tenant/moved"})
    for minutes in (11, 1):  # the first finds nothing where the keys were, the second asks where they are
        clock.advance(minutes=minutes)
        await service.who(issuer.token(sub=str(minutes)))
        await service.landed()
    assert issuer.asked == {METADATA: 2, KEYS: 2, "/tenant/moved": 1}
    clock.advance(minutes=61)
    await service.who(issuer.token(sub="3", exp=int(clock.time()) + 60))
    await service.landed()
    assert issuer.asked[METADATA] == 3


# --- an issuer that misbehaves

SECRET_JWK = {"kty": "oct", "kid": "1", "alg": "HS256", "k": "c2VjcmV0LXRoYXQtZXZlcnlib2R5LWtub3dzLWJ5LW5vdw"}


def answers_500(issuer: KeyServer) -> None:
    issuer.answers[KEYS] = Answer(issuer.answers[KEYS].body, status=500)


def answers_garbage(issuer: KeyServer) -> None:
    issuer.answers[KEYS] = Answer(b"<html>welcome to our wifi</html>")


def answers_a_name_twice(issuer: KeyServer) -> None:
    issuer.answers[KEYS] = Answer(b'{"keys": [],' + issuer.answers[KEYS].body[1:])


def answers_too_much(issuer: KeyServer) -> None:
    issuer.answers[KEYS] = Answer(b'{"padding": "%s", ' % (b"x" * 65536) + issuer.answers[KEYS].body[1:])


def answers_compressed(issuer: KeyServer) -> None:
    body = gzip.compress(issuer.answers[KEYS].body)
    issuer.answers[KEYS] = Answer(body, headers={"Content-Encoding": "gzip"})


def answers_a_redirect(issuer: KeyServer) -> None:
    issuer.answers["/elsewhere"] = issuer.answers[KEYS]
    issuer.answers[KEYS] = Answer(issuer.answers[KEYS].body, status=302, headers={"Location": "/elsewhere"})


def answers_no_key(issuer: KeyServer) -> None:
    issuer.say(KEYS, {"keys": []})


def answers_a_secret(issuer: KeyServer) -> None:
    issuer.say(KEYS, {"keys": [SECRET_JWK]})


def answers_33_keys(issuer: KeyServer) -> None:
    key = json.loads(issuer.answers[KEYS].body)["keys"][0]
    issuer.say(KEYS, {"keys": [{**key, "kid": str(n)} for n in range(33)]})


def hangs(issuer: KeyServer) -> None:
    issuer.answers[KEYS].held = Event()


def drips(issuer: KeyServer) -> None:
    """Each byte comes in time, the whole never does."""
    issuer.answers[KEYS].drip = 0.05


MISBEHAVIOURS = [
    answers_500,
    answers_garbage,
    answers_a_name_twice,
    answers_too_much,
    answers_compressed,
    answers_a_redirect,
    answers_no_key,
    answers_a_secret,
    answers_33_keys,
    hangs,
    drips,
]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, misbehave: Misbehaviour) -> None:
    """Nobody waits five seconds for an issuer that takes for ever."""
    if misbehave in (hangs, drips):
        monkeypatch.setattr(published_keys, "FETCH_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("misbehave", MISBEHAVIOURS)
async def test_without_any_key_nothing_is_decided_and_it_heals(
    opened: Visit, issuer: KeyServer, clock: TurnedClock, misbehave: Misbehaviour
) -> None:
    good = issuer.answers[KEYS]
    misbehave(issuer)
    service = await opened(Verifier(issuer.issuer, clock=clock))
    for _ in range(5):
        answer = await service.who(issuer.token())
        assert answer.status_code == 503
        assert answer.json()["code"] == "unavailable"
        assert 0 < int(answer.headers["Retry-After"]) <= 5
    assert issuer.asked[KEYS] == 1
    assert issuer.asked["/elsewhere"] == 0
    issuer.answers[KEYS] = Answer(good.body)
    clock.advance(seconds=6)
    assert (await service.who(issuer.token())).status_code == 200


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("misbehave", MISBEHAVIOURS)
async def test_a_failed_fetch_never_drops_good_keys(
    service: Service, issuer: KeyServer, clock: TurnedClock, misbehave: Misbehaviour
) -> None:
    await service.who(issuer.token())
    misbehave(issuer)
    for n in range(3):
        clock.advance(minutes=11)
        token = issuer.token(sub=str(n), exp=int(clock.time()) + 60)
        assert (await service.who(token)).status_code == 200
        await service.landed()
    assert issuer.asked[KEYS] == 4


async def test_after_a_failed_refresh_the_next_waits_for_the_cooldown(
    service: Service, issuer: KeyServer, clock: TurnedClock
) -> None:
    await service.who(issuer.token())
    answers_500(issuer)
    clock.advance(minutes=11)
    for n in range(5):
        await service.who(issuer.token(sub=str(n)))
        await service.landed()
    assert issuer.asked[KEYS] == 2


async def test_an_issuer_that_cannot_be_reached_is_503(opened: Visit, other_issuer: KeyServer) -> None:
    with KeyServer() as gone:
        token = gone.token()
    service = await opened(Verifier(gone.issuer))
    assert (await service.who(token)).status_code == 503
    assert (await service.who(other_issuer.token())).status_code == 401


# --- metadata that would lead us astray


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "{other}", "jwks_uri": "{own}/tenant/keys"},
        {"issuer": "{issuer}/", "jwks_uri": "{own}/tenant/keys"},
        {"jwks_uri": "{own}/tenant/keys"},
        {"issuer": "{issuer}", "jwks_uri": "{other}/tenant/keys"},
        {"issuer": "{issuer}", "jwks_uri": "{own}@{other_host}/tenant/keys"},
        {"issuer": "{issuer}", "jwks_uri": "//{other_host}/tenant/keys"},
        {"issuer": "{issuer}", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "{issuer}", "jwks_uri": ["{own}/tenant/keys"]},
        {"issuer": "{issuer}"},
        ["{issuer}"],
    ],
)
async def test_metadata_of_another_issuer_or_for_another_origin_is_not_followed(
    opened: Visit, issuer: KeyServer, other_issuer: KeyServer, metadata: object
) -> None:
    other_issuer.publish(issuer.key)
    places = {"{own}": issuer.origin, "{issuer}": issuer.issuer, "{other}": other_issuer.origin}
    text = json.dumps(metadata).replace("{other_host}", other_issuer.origin.removeprefix("http://"))
    for name, place in places.items():
        text = text.replace(name, place)
    issuer.answers[METADATA] = issuer.answers[OPENID] = Answer(text.encode())
    service = await opened(Verifier(issuer.issuer))
    assert (await service.who(issuer.token())).status_code == 503
    assert issuer.asked == {METADATA: 1, OPENID: 1}
    assert not other_issuer.asked
