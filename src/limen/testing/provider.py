"""An OpenID Connect provider for an app's own tests: real codes, real keys, real tokens, and nobody to ask.

    fake = FakeProvider()
    auth = Auth(features=[…, OAuthLogin(providers=[fake.provider("corp")], transport=fake.transport)])
    …
    fake.person = FakePerson(subject="42", email="ann@example.com")
    begun = client.get("/auth/oauth/corp/authorize", follow_redirects=False)
    client.get(await fake.sign_in(begun.headers["location"]))

In process by its `transport`, or served: `uvicorn.run(FakeProvider("http://127.0.0.1:9000").app, port=9000)`.
"""

import secrets
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from limen.core import base64url
from limen.core.clock import Clock, SystemClock
from limen.core.jwt import sign
from limen.core.keys import SigningKey
from limen.features.oauth_login.providers.presets import OpenIDProvider
from limen.features.oauth_login.providers.provider import Provider

if TYPE_CHECKING:
    from httpx2 import ASGITransport

CODE_SECONDS = 60
TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class FakePerson:
    """Somebody who has an account at the provider."""

    subject: str = "fake-1"
    email: str | None = "ann@example.com"
    email_verified: object = True
    name: str | None = "Ann Example"

    def claims(self) -> dict[str, object]:
        """What the provider says of them."""
        said = {"email": self.email, "email_verified": self.email_verified, "name": self.name}
        return {"sub": self.subject, **{name: value for name, value in said.items() if value is not None}}


@dataclass(slots=True, kw_only=True)
class _Grant:
    person: FakePerson
    asked: Mapping[str, str]
    until: float


@dataclass(slots=True)
class FakeProvider:
    """A provider that approves at once, as `person`, or declines.

    Attributes:
        issuer: its `iss`, and where it is if it is served.
        client_id, client_secret: what it calls the app.
        person: who signs in next; None declines.
        claims: put into every `id_token` over what is true; None takes one out.
        metadata: the same for its metadata.
        says_email_in: `id_token`, or `userinfo` for providers that say it only there.
        needs_pkce: False for one that has not heard of it.
        is_down: whether every request is answered 503.
        asked: the paths that were asked for, in order.
        key: what signs its tokens; another one is a rotation.
        clock: the app's, if a test turns it.
    """

    issuer: str = "https://provider.test"
    client_id: str = "the app"
    client_secret: str = "a secret of the app's"  # noqa: S105 - of a fake
    person: FakePerson | None = field(default_factory=FakePerson)
    claims: dict[str, object] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)
    says_email_in: str = "id_token"
    needs_pkce: bool = True
    is_down: bool = False
    asked: list[str] = field(default_factory=list)
    key: SigningKey = field(default_factory=lambda: SigningKey.generate("ES256"))
    clock: Clock = field(default_factory=SystemClock, repr=False)
    app: Starlette = field(init=False, repr=False)
    _codes: dict[str, _Grant] = field(default_factory=dict, repr=False)
    _refresh_tokens: dict[str, _Grant] = field(default_factory=dict, repr=False)
    _access_tokens: dict[str, _Grant] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        base = urlsplit(self.issuer).path.rstrip("/")
        routes = {
            "/.well-known/openid-configuration": (self._metadata, ["GET"]),
            "/authorize": (self._authorize, ["GET"]),
            "/token": (self._token, ["POST"]),
            "/jwks": (self._jwks, ["GET"]),
            "/userinfo": (self._userinfo, ["GET"]),
        }
        self.app = Starlette(routes=[Route(base + path, *each[:1], methods=each[1]) for path, each in routes.items()])

    @property
    def transport(self) -> "ASGITransport":
        """What takes an app's requests to it, in process."""
        from httpx2 import ASGITransport

        return ASGITransport(self.app)

    def provider(self, name: str = "fake", *, scopes: Sequence[str] = (), audiences: Sequence[str] = ()) -> Provider:
        """It, as `OAuthLogin(providers=[…])` takes it."""
        return OpenIDProvider(
            name,
            issuer=self.issuer,
            client_id=self.client_id,
            client_secret=self.client_secret,
            scopes=scopes,
            audiences=audiences,
        )

    async def sign_in(self, url: str) -> str:
        """What a browser does at its authorization endpoint; the URL that it is sent back to."""
        from httpx2 import AsyncClient

        async with AsyncClient(transport=self.transport) as client:
            answer = await client.get(url)
        if answer.status_code != 302:
            raise ValueError(f"the provider refuses the request: {answer.status_code} {answer.text}")
        return answer.headers["location"]

    def id_token(self, *, person: FakePerson | None = None, **claims: object) -> str:
        """A token as phones and One Tap bring it: for `person`, with these claims over the usual ones."""
        person = person or self.person or FakePerson()
        now = int(self.clock.time())
        usual = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + TOKEN_SECONDS}
        said = {**usual, **person.claims(), **claims, **self.claims}
        return sign({name: value for name, value in said.items() if value is not None}, key=self.key, typ="JWT")

    # --- its endpoints

    async def _metadata(self, request: Request) -> Response:
        described: dict[str, object] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.key.algorithm],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        shown = {name: value for name, value in {**described, **self.metadata}.items() if value is not None}
        return self._noted(request) or JSONResponse(shown)

    async def _jwks(self, request: Request) -> Response:
        return self._noted(request) or JSONResponse({"keys": [self.key.verifying_key().to_jwk()]})

    async def _authorize(self, request: Request) -> Response:
        """RFC 6749 §4.1.1: a request whose client or redirection is wrong is never redirected."""
        asked = dict(request.query_params)
        back = asked.get("redirect_uri", "")
        if (down := self._noted(request)) is not None:
            return down
        if asked.get("client_id") != self.client_id or not back:
            return JSONResponse({"error": "invalid_request"}, status_code=400)
        is_whole = asked.get("response_type") == "code" and "openid" in asked.get("scope", "").split()
        has_pkce = asked.get("code_challenge_method") == "S256" and len(asked.get("code_challenge", "")) == 43
        has_pkce = has_pkce or not self.needs_pkce
        answer = {"state": asked.get("state", "")}
        if self.metadata.get("authorization_response_iss_parameter_supported", True):
            answer["iss"] = self.issuer
        if not (is_whole and has_pkce):
            answer["error"] = "invalid_request"
        elif self.person is None:
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(24)
            self._codes[answer["code"]] = _Grant(
                person=self.person, asked=asked, until=self.clock.time() + CODE_SECONDS
            )
        if asked.get("response_mode") == "form_post":
            return _form_post(back, answer)
        return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{urlencode(answer)}", status_code=302)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if (down := self._noted(request)) is not None:
            return down
        if not self._is_the_app(request, form):
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        if form.get("grant_type") == "refresh_token":
            grant = self._refresh_tokens.pop(form.get("refresh_token", ""), None)
            return self._handed_out(grant) if grant else JSONResponse({"error": "invalid_grant"}, status_code=400)
        grant = self._codes.pop(form.get("code", ""), None)
        is_good = grant is not None and self.clock.time() < grant.until and _fits(grant, form)
        if form.get("grant_type") != "authorization_code" or grant is None or not is_good:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return self._handed_out(grant)

    async def _userinfo(self, request: Request) -> Response:
        grant = self._access_tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if (down := self._noted(request)) is not None:
            return down
        return JSONResponse({"error": "invalid_token"}, status_code=401) if grant is None else self._said_of(grant)

    def _said_of(self, grant: _Grant) -> Response:
        return JSONResponse(grant.person.claims())

    def _handed_out(self, grant: _Grant) -> Response:
        access, refresh = f"at-{secrets.token_urlsafe(24)}", f"rt-{secrets.token_urlsafe(24)}"
        self._access_tokens[access] = self._refresh_tokens[refresh] = grant
        left_half = sha256(access.encode()).digest()[:16]
        usual: dict[str, object] = {"nonce": grant.asked.get("nonce"), "at_hash": base64url.encode(left_half)}
        hidden = {"email": None, "email_verified": None} if self.says_email_in == "userinfo" else {}
        id_token = self.id_token(person=grant.person, **{**usual, **hidden})
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "id_token": id_token}
        return JSONResponse({**answer, "refresh_token": refresh, "scope": grant.asked["scope"]})

    def _is_the_app(self, request: Request, form: Mapping[str, str]) -> bool:
        """RFC 6749 §2.3.1: in the header, each part form-encoded, or in the body."""
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            name, _, secret = b64decode(encoded).decode().partition(":")
            return (unquote(name), unquote(secret)) == (self.client_id, self.client_secret)
        return (form.get("client_id"), form.get("client_secret")) == (self.client_id, self.client_secret)

    def _noted(self, request: Request) -> Response | None:
        self.asked.append(request.url.path)
        return JSONResponse({"error": "temporarily_unavailable"}, status_code=503) if self.is_down else None


def _fits(grant: _Grant, form: Mapping[str, str]) -> bool:
    """RFC 6749 §4.1.3 and RFC 7636 §4.6."""
    challenge = base64url.encode(sha256(form.get("code_verifier", "").encode()).digest())
    same_place = form.get("redirect_uri") == grant.asked["redirect_uri"]
    return same_place and challenge == grant.asked.get("code_challenge", challenge)


def _form_post(back: str, answer: Mapping[str, str]) -> Response:
    """OAuth 2.0 Form Post Response Mode §2."""
    fields = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in answer.items())
    form = f'<form method="post" action="{escape(back)}">{fields}</form>'
    return HTMLResponse(f"<!doctype html><title>Back</title><body onload=document.forms[0].submit()>{form}")
