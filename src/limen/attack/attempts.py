"""The attacks: what each of them sends to one route. All of it must be refused, whatever the route does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from limen.attack.forge import Forgery
from limen.http.origin import SAFE_METHODS

ATTACKS = (
    "anonymous",
    "unsigned",
    "wrong key",
    "confusion",
    "kid",
    "expired",
    "audience",
    "scopes",
    "other user",
    "carrier",
    "cross-site",
    "oversized",
    "duplicate",
    "smuggled",
)
"""The columns of the matrix, in order."""

GARBAGE = "eyJhbGciOiJIUzI1NiJ9.e30.Z2FyYmFnZQ"

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request, without its method and path.

    Attributes:
        kind: the media type of the body.
    """

    attack: str = ""
    name: str = ""
    headers: Headers = field(default=(), repr=False)
    query: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)
    kind: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Genuine credentials, which the attacks bend; what there is none of is None, and not tried.

    Attributes:
        bearer: an access token of somebody who may do as much as possible.
        second: another one of theirs.
        narrowed: one of theirs whose scope opens nothing.
        refresh: their refresh token.
        cookie: their session cookie, name and value.
        forged: tokens that nobody may believe.
        base_url: whose origin is the app's own.
    """

    bearer: str | None = None
    second: str | None = None
    narrowed: str | None = None
    refresh: str | None = None
    cookie: tuple[str, str] | None = None
    forged: Sequence[Forgery] = ()
    base_url: str = "http://localhost:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """The route that is attacked.

    Attributes:
        needs_scopes: whether it asks for any.
        takes_nothing: whether a request that presents nothing comes in on purpose.
    """

    method: str
    path: str
    needs_scopes: bool = False
    takes_nothing: bool = False

    @property
    def is_safe(self) -> bool:
        """Whether its method changes nothing."""
        return self.method in SAFE_METHODS


def attempts(means: Means, aim: Aim) -> Iterator[Attempt]:
    """Everything that is tried on a route, column by column."""
    if not aim.takes_nothing:
        yield from _anonymous(aim)
    for forgery in means.forged:
        yield Attempt(attack=forgery.attack, name=forgery.name, headers=bearer(forgery.token))
    if aim.needs_scopes and means.narrowed:
        yield Attempt(attack="scopes", name="a scope that opens nothing", headers=bearer(means.narrowed))
    if not aim.takes_nothing:
        yield from _carrier(means)
    if not aim.is_safe:
        yield from _cross_site(means)
    yield from _oversized(means, aim)
    yield from _duplicate(means)
    yield from _smuggled(means)


def bearer(token: str) -> Headers:
    """The header that carries a token."""
    return (("authorization", f"Bearer {token}"),)


def _anonymous(aim: Aim) -> Iterator[Attempt]:
    variants: dict[str, Headers] = {
        "nothing": (),
        "garbage": bearer(GARBAGE),
        "an empty token": (("authorization", "Bearer "),),
        "another scheme": (("authorization", "Basic YWRtaW46YWRtaW4="),),
        "a name in a header": (("x-forwarded-user", "admin"), ("x-remote-user", "admin"), ("x-user-id", "1")),
    }
    for name, headers in variants.items():
        yield Attempt(attack="anonymous", name=name, headers=headers)
    if not aim.is_safe:
        override = (("x-http-method-override", "GET"), ("x-forwarded-host", "localhost"))
        yield Attempt(attack="anonymous", name="another method in a header", headers=override)


def _carrier(means: Means) -> Iterator[Attempt]:
    """A genuine credential where it does not belong."""
    if means.bearer:
        for parameter in ("access_token", "token", "api_key"):
            yield Attempt(attack="carrier", name=f"token in ?{parameter}=", query=f"{parameter}={means.bearer}")
        for cookie in ("__Host-limen", "limen", "access_token", "api_key"):
            headers = (("cookie", f"{cookie}={means.bearer}"), ("sec-fetch-site", "same-origin"))
            yield Attempt(attack="carrier", name=f"token in the cookie {cookie}", headers=headers)
        yield Attempt(attack="carrier", name="token as API key", headers=(("x-api-key", means.bearer),))
        yield Attempt(attack="carrier", name="another scheme", headers=(("authorization", f"Token {means.bearer}"),))
    if means.refresh:
        yield Attempt(attack="carrier", name="refresh token as access token", headers=bearer(means.refresh))
    if means.cookie:
        yield Attempt(attack="carrier", name="cookie as token", headers=bearer(means.cookie[1]))
        yield Attempt(attack="carrier", name="cookie as API key", headers=(("x-api-key", means.cookie[1]),))


def _cross_site(means: Means) -> Iterator[Attempt]:
    """RFC 6265bis §8.2: the cookie comes along, whoever's page asked."""
    if means.cookie is None:
        return
    variants: dict[str, Headers] = {
        "a foreign page": (("sec-fetch-site", "cross-site"), ("origin", "https://elsewhere.example")),
        "a page of the same site": (("sec-fetch-site", "same-site"),),
        "an older browser": (("origin", "https://elsewhere.example"),),
        "a sandboxed frame": (("origin", "null"),),
        "a name that begins alike": (("origin", f"{means.base_url}.elsewhere.example"),),
        "nothing that tells": (),
    }
    for name, headers in variants.items():
        yield Attempt(attack="cross-site", name=name, headers=(_cookie(means.cookie), *headers))


def _oversized(means: Means, aim: Aim) -> Iterator[Attempt]:
    yield Attempt(attack="oversized", name="a token of 9 KB", headers=bearer("A" * 9000))
    if means.bearer:
        padded = means.bearer + "A" * 9000
        yield Attempt(attack="oversized", name="a token that was made longer", headers=bearer(padded))
    if not aim.is_safe and not aim.takes_nothing:
        yield Attempt(attack="oversized", name="a body of 100 KB", body=b'{"a": "' + b"a" * 100_000 + b'"}')


def _duplicate(means: Means) -> Iterator[Attempt]:
    """RFC 6750 §2: one credential, once. Of two, a proxy may have checked the other one."""
    if means.bearer:
        genuine, false = bearer(means.bearer), bearer(GARBAGE)
        yield Attempt(attack="duplicate", name="a good one, then a bad one", headers=(*genuine, *false))
        yield Attempt(attack="duplicate", name="a bad one, then a good one", headers=(*false, *genuine))
        yield Attempt(attack="duplicate", name="the same twice", headers=(*genuine, *genuine))
        if means.second:
            yield Attempt(attack="duplicate", name="two good ones", headers=(*genuine, *bearer(means.second)))
    if means.cookie:
        twice = (_cookie(means.cookie), _cookie((means.cookie[0], "planted")), ("sec-fetch-site", "same-origin"))
        yield Attempt(attack="duplicate", name="two cookies", headers=twice)


def _smuggled(means: Means) -> Iterator[Attempt]:
    """A second credential beside the first, or behind it."""
    if means.bearer:
        genuine, key = bearer(means.bearer), ("x-api-key", "lmk_planted.planted")
        joined = (("authorization", f"Bearer {means.bearer}, Bearer {GARBAGE}"),)
        yield Attempt(attack="smuggled", name="an API key beside it", headers=(*genuine, key))
        yield Attempt(attack="smuggled", name="a second one after a comma", headers=joined)
        yield Attempt(attack="smuggled", name="words after it", headers=bearer(f"{means.bearer} and more"))
    if means.cookie:
        cookie, own = _cookie(means.cookie), ("sec-fetch-site", "same-origin")
        bad = (*bearer(GARBAGE), cookie, own)
        yield Attempt(attack="smuggled", name="a bad token before a good cookie", headers=bad)
        empty = (("authorization", "Bearer "), cookie, own)
        yield Attempt(attack="smuggled", name="an empty token before a good cookie", headers=empty)


def _cookie(cookie: tuple[str, str]) -> tuple[str, str]:
    return "cookie", f"{cookie[0]}={cookie[1]}"
