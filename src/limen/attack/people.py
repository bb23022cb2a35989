"""Two ordinary people and one who may do everything, with the credentials that the attacks bend."""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from limen.attack.asking import Asking
from limen.attack.attempts import Attempt, Headers, Means, bearer
from limen.attack.forge import Forgery, Target, by_a_stranger, by_the_key
from limen.auth import Auth
from limen.core import base64url
from limen.core.keys import Keys
from limen.core.login import Pending
from limen.db.users import UserMixin
from limen.errors import AuthError
from limen.features.accounts import Accounts
from limen.features.passwords import Passwords
from limen.features.roles import Roles
from limen.features.sessions import Sessions
from limen.features.supabase import Supabase
from limen.features.tokens import Tokens
from limen.features.trusted_issuers import TrustedIssuers
from limen.http.cookies import cookie_name

NOBODY = "00000000-0000-4000-8000-000000000000"
NOTHING = "attack:nothing"
"""A permission that no route asks for."""

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who signed in.

    Attributes:
        marks: what shows that something is theirs: id, e-mail address.
        headers: what their requests carry.
    """

    subject: str
    email: str
    headers: Headers = field(repr=False)

    @property
    def marks(self) -> tuple[str, str]:
        """Values that show that something is theirs."""
        return self.subject, self.email


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who takes part.

    Attributes:
        victim, stranger: two people with the same ordinary rights; None where none could be made.
        untried: why.
    """

    means: Means
    victim: Person | None = None
    stranger: Person | None = None
    untried: tuple[str, ...] = ()


async def cast_in_process(auth: Auth[UserMixin]) -> Cast:
    """Make them in the app's database, which is one to throw away."""
    missing = [kind.name for kind in (Accounts, Passwords) if kind.name not in auth.features]
    if missing:
        reason = f"nobody can be signed in without the feature {' and '.join(missing)}: only a stranger's tokens"
        return Cast(means=await _means(auth, None, None, None), untried=(reason,))
    email, password = await _register(auth, roles=sorted(auth.kernel.roles), permissions=_widest(auth))
    tokens = await _tokens(auth, email, password)
    second = await _tokens(auth, email, password)
    narrowed = await _tokens(auth, email, password, scope=NOTHING)
    cookie = await _cookie_of(auth, email, password)
    means = await _means(auth, tokens, cookie, narrowed, second=second)
    ordinary = _ordinary_roles(auth)
    victim, stranger = [await _person(auth, roles=ordinary) for _ in range(2)]
    return Cast(means=means, victim=victim, stranger=stranger)


async def cast_by_http(auth: Auth[UserMixin], asking: Asking) -> Cast:
    """Let them register at a running server as anybody does; `dismiss` removes them again."""
    people = [await _registered(auth, asking) for _ in range(2)]
    if None in people:
        reason = "nobody could register and sign in over HTTP: only a stranger's tokens"
        return Cast(means=await _means(auth, None, None, None), untried=(reason,))
    (victim, tokens), (stranger, second) = [each for each in people if each is not None]
    means = await _means(auth, tokens, None, None, second=second)
    return Cast(means=means, victim=victim, stranger=stranger, untried=("no cookie, no wide rights: only in process",))


async def dismiss(auth: Auth[UserMixin], asking: Asking, cast: Cast) -> None:
    """Delete the accounts that `cast_by_http` made."""
    for person in (cast.victim, cast.stranger):
        if person is not None:
            body = json.dumps({"password": _PASSWORD}).encode()
            path = f"{auth.kernel.users_prefix}/me"
            await asking.ask("DELETE", path, Attempt(headers=person.headers, body=body))


_PASSWORD = secrets.token_urlsafe(24)
Body = dict[str, Any]


async def _registered(auth: Auth[UserMixin], asking: Asking) -> tuple[Person, Body] | None:
    email = f"limen-attack-{secrets.token_hex(6)}@example.com"
    body = json.dumps({"email": email, "password": _PASSWORD}).encode()
    made = await asking.ask("POST", f"{auth.kernel.auth_prefix}/register", Attempt(body=body))
    form = urlencode({"grant_type": "password", "username": email, "password": _PASSWORD}).encode()
    path = f"{auth.kernel.auth_prefix}/token"
    tokens = await asking.ask("POST", path, Attempt(body=form, kind=FORM))
    user, pair = made.json() if made else None, tokens.json() if tokens else None
    if not isinstance(user, dict) or not isinstance(pair, dict) or "access_token" not in pair:
        return None
    person = Person(subject=str(user.get("id")), email=email, headers=bearer(str(pair["access_token"])))
    return person, pair


async def _person(auth: Auth[UserMixin], *, roles: Sequence[str]) -> Person:
    email, password = await _register(auth, roles=roles)
    account = await auth[Accounts].find(email)
    tokens = await _tokens(auth, email, password)
    if tokens is not None:
        return Person(subject=account.subject, email=email, headers=bearer(str(tokens["access_token"])))
    cookie = await _cookie_of(auth, email, password)
    headers: Headers = (("cookie", "=".join(cookie)), ("sec-fetch-site", "same-origin")) if cookie else ()
    return Person(subject=account.subject, email=email, headers=headers)


def _widest(auth: Auth[UserMixin]) -> list[str]:
    scopes = sorted(auth.kernel.scopes)
    return ["*"] if "*" in scopes else scopes


def _ordinary_roles(auth: Auth[UserMixin]) -> list[str]:
    """The default roles, or the first that may not do everything."""
    roles = list(auth.kernel.roles.values())
    default = [role.name for role in roles if role.default]
    return default or [role.name for role in roles if "*" not in role.permissions][:1]


async def _register(auth: Auth[UserMixin], *, roles: Sequence[str], permissions: Sequence[str] = ()) -> tuple[str, str]:
    email, password = f"limen-attack-{secrets.token_hex(6)}@example.com", _PASSWORD
    account = await auth[Accounts].register(email=email, password=password, roles=roles, is_verified=True)
    if permissions and Roles.name in auth.features:
        await auth[Roles].assign_as_operator(account.id, permissions=permissions)
    return email, password


async def _tokens(auth: Auth[UserMixin], email: str, password: str, *, scope: str | None = None) -> Body | None:
    if Tokens.name not in auth.features:
        return None
    outcome = await auth[Passwords].login(email, password, scope=scope)
    return None if isinstance(outcome, Pending) else dict(outcome.body)


async def _cookie_of(auth: Auth[UserMixin], email: str, password: str) -> tuple[str, str] | None:
    if Sessions.name not in auth.features:
        return None
    outcome = await auth[Passwords].login(email, password, deliver="cookie")
    if isinstance(outcome, Pending) or outcome.cookie is None:
        return None
    return cookie_name(secure=auth.settings.is_secure), outcome.cookie.value


async def _means(
    auth: Auth[UserMixin],
    tokens: Body | None,
    cookie: tuple[str, str] | None,
    narrowed: Body | None,
    *,
    second: Body | None = None,
) -> Means:
    genuine = _text(tokens, "access_token")
    return Means(
        bearer=genuine,
        second=_text(second, "access_token"),
        narrowed=_text(narrowed, "access_token"),
        refresh=_text(tokens, "refresh_token"),
        cookie=cookie,
        forged=await _forged(auth, genuine),
        base_url=auth.settings.base_url,
    )


async def _forged(auth: Auth[UserMixin], genuine: str | None) -> tuple[Forgery, ...]:
    now = auth.kernel.clock.time()
    header: Body = {"kid": "", "alg": auth.settings.algorithm}
    claims: Body = {
        "iss": auth.settings.issuer,
        "aud": auth.settings.expected_audience,
        "sub": "1",
        "iat": int(now),
        "exp": int(now) + 600,
        "scope": "*",
    }
    if genuine is not None:
        header, claims = (json.loads(base64url.decode(part)) for part in genuine.split(".")[:2])
    claims = {**claims, "scope": "*", "roles": sorted(auth.kernel.roles)}
    public = [key for key in auth.kernel.keys.ring.verifying if key.algorithm != "HS256"]
    target = Target(claims=claims, kid=str(header["kid"]), algorithm=str(header["alg"]), public=public)
    try:
        key = auth.kernel.keys.ring.signing
    except AuthError:
        key = None
    by_key = by_the_key(key, claims, now=now) if key is not None and genuine is not None else ()
    of_others = (forgery for each in _of_others(auth) for forgery in by_a_stranger(each))
    return (*by_a_stranger(target), *by_key, *of_others)


def _of_others(auth: Auth[UserMixin]) -> Iterator[Target]:
    """What a stranger says in the name of each issuer that the app believes."""
    for feature in auth.features.values():
        if isinstance(feature, Supabase):
            person: Body = {"role": "authenticated", "session_id": NOBODY, "email": "limen-attack@example.com"}
            claims = {"iss": feature.people.issuer, "aud": "authenticated", **person}
            yield _in_the_name(auth, claims, feature.people.keys, typ="JWT")
        elif isinstance(feature, TrustedIssuers):
            for trusted, tokens in zip(feature.trusted, feature.accepted, strict=True):
                claims = {"iss": trusted.issuer, trusted.audience_claim: trusted.audience or trusted.issuer}
                yield _in_the_name(auth, claims, tokens.keys, typ=trusted.typ or "JWT")


def _in_the_name(auth: Auth[UserMixin], claims: Body, keys: Keys, *, typ: str) -> Target:
    now = int(auth.kernel.clock.time())
    public = keys.ring.verifying  # none yet where they could not be fetched
    claims = {**claims, "sub": NOBODY, "iat": now, "exp": now + 600, "scope": "*", "roles": sorted(auth.kernel.roles)}
    kid, algorithm = (public[0].kid, public[0].algorithm) if public else ("", "ES256")
    return Target(claims=claims, kid=kid, algorithm=algorithm, public=public, typ=typ, of=str(claims["iss"]))


def _text(body: Body | None, name: str) -> str | None:
    return str(body[name]) if body and body.get(name) else None
