"""What the loaded app is made of, and what becomes of a hash and of tokens in it."""

import re
import time
from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.security import APIKeyCookie

from limen.attack.forge import GUESSED, Forgery, Target, by_a_stranger, by_the_key
from limen.auth import Auth
from limen.checks.evidence import App, CookieRoute, Cors, Hashing, Tokens
from limen.core.jwt import sign
from limen.core.keys import SigningKey
from limen.db.users import UserMixin
from limen.errors import AuthError
from limen.features.passwords import Passwords
from limen.features.services import Services
from limen.features.tokens import Tokens as TokensFeature
from limen.http.origin import SAFE_METHODS
from limen.http.route_map import MappedRoute
from limen.http.scheme import Carrier, Presented, Scheme

_CREDENTIAL = re.compile(r"session|token|auth|jwt|sid$|login|credential", re.IGNORECASE)
_ANYWHERE = ("https://anywhere.example", "http://anywhere.example")
_TRIAL = "a password that limen check hashes"


def look_at_app(auth: Auth[UserMixin], app: FastAPI) -> App:
    """The app's routes, middleware and features."""
    routes = auth.routes()
    return App(
        features=frozenset(auth.features),
        unguarded=tuple(route for route in routes if route.access == "unguarded"),
        docs=tuple(route.path for route in routes if route.because == "docs" and "oauth2-redirect" not in route.path),
        cookie_routes=tuple(_cookie_routes(routes)),
        cors=tuple(_cors(app)),
        debug=app.debug,
        audiences=auth[Services].audiences if Services.name in auth.features else frozenset(),
    )


async def time_hash(auth: Auth[UserMixin]) -> Hashing | None:
    """The cost of one password hash in processor time, so that what else the machine does is not counted."""
    if Passwords.name not in auth.features:
        return None
    hasher, seconds, digest = auth[Passwords].hasher, [], ""
    for _ in range(2):
        begun = time.process_time()
        digest = await hasher.hash(_TRIAL)
        seconds.append(time.process_time() - begun)
    hasher.close()
    figures = {name: int(value) for name, value in re.findall(r"\b([mt])=(\d+)", digest)}
    return Hashing(memory_kib=figures.get("m", 0), iterations=figures.get("t", 0), seconds=min(seconds))


async def try_tokens(auth: Auth[UserMixin]) -> Tokens | None:
    """Make a token and verify it, then forged ones; no user and no session is made."""
    try:
        key = await auth.kernel.keys.signing_key()
    except AuthError:  # the keys are in a database that is not there, which another rule tells
        return None
    claims = trial_claims(auth, subject="limen check")
    makes_tokens = TokensFeature.name in auth.features
    failure = await _refusal(auth, sign(claims, key=key)) if makes_tokens else ""
    forged = [*by_a_stranger(target_of(auth, key, claims)), *_by_the_key(auth, key, claims)]
    forged = [each for each in forged if each.name != GUESSED]  # of which another rule tells
    accepted = [each for each in forged if not await _refusal(auth, each.token)]
    return Tokens(failure=failure, accepted=tuple(f"{each.attack}: {each.name}" for each in accepted))


def trial_claims(auth: Auth[UserMixin], *, subject: str) -> dict[str, object]:
    """Claims that the app would accept."""
    now = int(auth.kernel.clock.time())
    return {
        "iss": auth.settings.issuer,
        "aud": auth.settings.expected_audience,
        "sub": subject,
        "iat": now,
        "exp": now + 60,
        "jti": "limen-check",
        "scope": "*",
        "roles": sorted(auth.kernel.roles),
    }


def target_of(auth: Auth[UserMixin], key: SigningKey, claims: dict[str, object]) -> Target:
    """What a stranger knows of this app's tokens."""
    public = [each for each in auth.kernel.keys.ring.verifying if each.algorithm != "HS256"]
    return Target(claims=claims, kid=key.kid, algorithm=key.algorithm, public=public)


def _by_the_key(auth: Auth[UserMixin], key: SigningKey, claims: dict[str, object]) -> tuple[Forgery, ...]:
    return by_the_key(key, claims, now=auth.kernel.clock.time())


async def _refusal(auth: Auth[UserMixin], token: str) -> str:
    """Why the scheme that reads this token does not take it; empty when it does."""
    presented = Presented(Carrier.BEARER, token)
    for scheme in auth.kernel.authenticator.schemes:
        if Carrier.BEARER in scheme.carriers and scheme.reads(presented):
            return await _refusal_of(scheme, presented)
    return "no scheme reads it"


async def _refusal_of(scheme: Scheme, presented: Presented) -> str:
    try:
        await scheme.verify(presented)
    except AuthError as error:
        return error.reason or error.detail or "refused"
    except Exception as error:  # of the app's own scheme: it did not accept
        return type(error).__name__
    return ""


def _cookie_routes(routes: tuple[MappedRoute, ...]) -> Iterator[CookieRoute]:
    for route in routes:
        if route.declared is None or route.declared.guards or SAFE_METHODS.issuperset(route.methods):
            continue
        dependant = getattr(route.declared.route, "dependant", None)
        if isinstance(dependant, Dependant) and route.because != "limen":
            cookies = tuple(dict.fromkeys(_cookies(dependant)))
            if cookies:
                yield CookieRoute(route=str(route), cookies=cookies)


def _cookies(dependant: Dependant) -> Iterator[str]:
    if isinstance(dependant.call, APIKeyCookie):
        yield dependant.call.model.name
    for field in dependant.cookie_params:
        if _CREDENTIAL.search(field.alias):
            yield field.alias
    for sub in dependant.dependencies:
        yield from _cookies(sub)


def _cors(app: FastAPI) -> Iterator[Cors]:
    for middleware in app.user_middleware:
        if getattr(middleware.cls, "__name__", "") != "CORSMiddleware":
            continue
        options = middleware.kwargs
        origins, pattern = options.get("allow_origins") or (), options.get("allow_origin_regex")
        by_pattern = isinstance(pattern, str) and any(re.fullmatch(pattern, origin) for origin in _ANYWHERE)
        any_origin = by_pattern or (isinstance(origins, list | tuple | set) and "*" in origins)
        yield Cors(any_origin=any_origin, with_credentials=bool(options.get("allow_credentials")))
