"""A Supabase Auth (GoTrue) of one's own, in the process of the test: generated keys, no network, no Docker.

with FakeSupabase() as supabase:                       # on a free port of this machine
    auth = Auth(features=[Supabase(supabase.url, key=supabase.key), Sessions()])
    alice = supabase.add_user("alice@example.com", "a password of hers")
    client.get("/me", headers={"Authorization": f"Bearer {supabase.sign_in(alice).access_token}"})

It is also an ASGI app, for clients that take one. It answers what GoTrue's own `openapi.yaml` allows, and no more of it
than an app's sign-in needs.
"""

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID, uuid4

from starlette.types import Receive, Scope, Send

from limen.core.clock import Clock, SystemClock
from limen.core.jwk import Algorithm
from limen.core.jwt import Expected, sign, verify
from limen.core.keys import KeyRing, SigningKey, VerifyingKey
from limen.errors import InvalidCredential

AUTH = "/auth/v1"
REUSE_SECONDS = 10.0
OTP_TYPES = frozenset({"signup", "recovery", "invite", "magiclink"})

Body = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that came, with everything that it said."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Body:
        """The body as an object; `Refusal` if it is none."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Refusal(400, "bad_json", "Could not parse request body as JSON")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer; `delay` keeps it back for so many seconds."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0


class Refusal(Exception):
    """GoTrue's error: `{"code", "error_code", "msg"}`."""

    def __init__(self, status: int, error_code: str, msg: str) -> None:
        super().__init__(msg)
        self.status, self.error_code, self.msg = status, error_code, msg


@dataclass(kw_only=True, slots=True)
class FakeUser:
    """Somebody who is known to the project."""

    id: UUID = field(default_factory=uuid4)
    email: str
    password: str | None = field(default=None, repr=False)
    app_metadata: Body = field(default_factory=dict)
    user_metadata: Body = field(default_factory=dict)
    is_confirmed: bool = True
    is_banned: bool = False
    is_anonymous: bool = False
    created_at: datetime


@dataclass(kw_only=True, slots=True)
class FakeSession:
    """One sign-in of somebody, and every refresh token that it had."""

    id: UUID = field(default_factory=uuid4)
    user: FakeUser
    method: str
    began: int
    aal: str = "aal1"
    refresh_tokens: list[str] = field(default_factory=list)
    rotated_at: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeTokens:
    """What a sign-in hands out."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    session_id: str


class FakeSupabase:
    """A project with generated keys.

    Args:
        algorithm: what signs access tokens; HS256 is a project of the legacy secret, `jwt_secret`.
        autoconfirm: whether an address counts without a mail.
        access_token_seconds: how long an access token is good.
        clock: the one that the app under test has.

    Attributes:
        url: the project, as `LIMEN_SUPABASE_URL`; known once it is served.
        key, secret_key: the API keys.
        asked: how often each `METHOD /path` was, `grant_type` behind it.
        mails: `(address, code)` of every mail that would have been sent.
        instead: what is answered instead, by path (`/token`): an outage, garbage, a redirect.
    """

    def __init__(
        self,
        *,
        algorithm: Algorithm = "ES256",
        autoconfirm: bool = True,
        access_token_seconds: int = 3600,
        clock: Clock | None = None,
    ) -> None:
        self.autoconfirm = autoconfirm
        self.access_token_seconds = access_token_seconds
        self.jwt_secret = secrets.token_urlsafe(40)
        self.key = f"sb_publishable_{secrets.token_urlsafe(16)}"
        self.secret_key = f"sb_secret_{secrets.token_urlsafe(16)}"
        self.url = "http://supabase.test"
        self.asked: Counter[str] = Counter()
        self.mails: list[tuple[str, str]] = []
        self.instead: dict[str, Said | Callable[[Asked], Said]] = {}
        self._clock = clock or SystemClock()
        self._signing = SigningKey.generate(algorithm)
        if algorithm == "HS256":
            self._signing = SigningKey.from_secret(self.jwt_secret)
        self._verifying: tuple[VerifyingKey, ...] = (self._signing.verifying_key(),)
        self._users: dict[str, FakeUser] = {}
        self._sessions: dict[UUID, FakeSession] = {}
        self._codes: dict[tuple[str, str], tuple[str, FakeUser]] = {}
        self._flows: dict[str, tuple[str, str, str]] = {}
        self._grants: dict[str, tuple[FakeUser, str]] = {}
        self._lock = RLock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: Thread | None = None

    # --- what a test does

    @property
    def issuer(self) -> str:
        """`iss` of its tokens."""
        return f"{self.url}{AUTH}"

    @property
    def is_gone(self) -> bool:
        """Whether it is not served, or no longer."""
        return self._server is None

    def add_user(
        self,
        email: str,
        password: str | None = None,
        *,
        app_metadata: Mapping[str, object] | None = None,
        user_metadata: Mapping[str, object] | None = None,
    ) -> FakeUser:
        """Somebody whom the project knows already."""
        with self._lock:
            user = FakeUser(
                email=email,
                password=password,
                app_metadata={"provider": "email", "providers": ["email"], **(app_metadata or {})},
                user_metadata=dict(user_metadata or {}),
                created_at=self._clock.now(),
            )
            self._users[email.lower()] = user
            return user

    def sign_in(self, user: FakeUser, *, method: str = "password", aal: str = "aal1") -> FakeTokens:
        """Tokens as a sign-in of theirs hands them out."""
        with self._lock:
            session = self._begin(user, method)
            session.aal = aal
            access = self._access_token(session)
            return FakeTokens(access_token=access, refresh_token=session.refresh_tokens[-1], session_id=str(session.id))

    def token(self, user: FakeUser, *, key: SigningKey | None = None, **changes: object) -> str:
        """An access token that says these claims instead; None leaves one out."""
        with self._lock:
            session = self._begin(user, "password")
            claims = {**self._claims(session), **changes}
            said = {name: value for name, value in claims.items() if value is not None}
            return sign(said, key=key or self._signing, typ="JWT")

    def legacy_key(self, role: str = "anon") -> str:
        """An API key of the old kind: a token of the project's, and nobody's."""
        now = int(self._clock.time())
        claims = {"iss": "supabase", "ref": "fake", "role": role, "iat": now, "exp": now + 10**8}
        return sign(claims, key=SigningKey.from_secret(self.jwt_secret), typ="JWT")

    def rotate_key(self, algorithm: Algorithm = "ES256") -> None:
        """Sign with a new key; tokens of the earlier ones stay good."""
        with self._lock:
            self._signing = SigningKey.generate(algorithm)
            self._verifying = (self._signing.verifying_key(), *self._verifying)

    def end_session(self, session_id: str) -> None:
        """Sign somebody out at Supabase, behind the app's back."""
        with self._lock:
            self._sessions.pop(UUID(session_id), None)

    def code_for(self, email: str) -> str:
        """The code of the last mail to this address."""
        return next(code for address, code in reversed(self.mails) if address == email)

    # --- how it is reached

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "there is nothing else"
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        asked = Asked(method=scope["method"], path=scope["path"], query=query, headers=headers, body=bytes(body))
        said = self.answer(asked)
        lines = [(name.lower().encode(), value.encode()) for name, value in said.headers.items()]
        await send({"type": "http.response.start", "status": said.status, "headers": lines})
        await send({"type": "http.response.body", "body": said.body})

    def answer(self, asked: Asked) -> Said:
        """The answer to one request."""
        path = asked.path.removeprefix(AUTH)
        with self._lock:
            grant = asked.query.get("grant_type", "")
            self.asked[f"{asked.method} {path} {grant}".strip()] += 1
            instead = self.instead.get(path)
        if instead is not None:
            return instead if isinstance(instead, Said) else instead(asked)
        with self._lock:
            try:
                return self._answer(asked, path)
            except Refusal as refusal:
                body = {"code": refusal.status, "error_code": refusal.error_code, "msg": refusal.msg}
                return _json(body, refusal.status)

    # --- what GoTrue does

    def _answer(self, asked: Asked, path: str) -> Said:
        route = f"{asked.method} {path}"
        open_to_all: dict[str, Callable[[Asked], Said]] = {
            "GET /.well-known/jwks.json": self._jwks,
            "GET /authorize": self._authorize,
            "GET /callback": self._callback,
            "GET /provider": self._provider,
        }
        with_key: dict[str, Callable[[Asked], Said]] = {
            "POST /signup": self._signup,
            "POST /token": self._token,
            "POST /otp": self._otp,
            "POST /verify": self._verify,
            "POST /logout": self._logout,
            "GET /user": self._user,
            "PUT /user": self._change_user,
            "GET /health": lambda _: _json({"version": "fake", "name": "GoTrue", "description": "limen.testing"}),
        }
        if route in open_to_all:
            return open_to_all[route](asked)
        if asked.headers.get("apikey") not in (self.key, self.secret_key, self.legacy_key()):
            return _json({"message": "No API key found in request", "hint": "No `apikey` request header."}, 401)
        if route not in with_key:
            return Said(status=404)
        return with_key[route](asked)

    def _signup(self, asked: Asked) -> Said:
        body = asked.json()
        email, password = body.get("email"), body.get("password")
        if email is None and password is None:
            return self._signed_in(self._begin(self._anonymous(), "anonymous"))
        if not isinstance(email, str) or not isinstance(password, str) or "@" not in email:
            raise Refusal(400, "validation_failed", "Signup requires a valid email and password")
        if len(password) < 6:
            weak = {"code": 400, "error_code": "weak_password", "msg": "Password should be at least 6 characters."}
            return _json({**weak, "weak_password": {"reasons": ["length"]}}, 400)
        known = self._users.get(email.lower())
        if known is not None and self.autoconfirm:
            raise Refusal(400, "user_already_exists", "User already registered")
        user = known or self.add_user(email, password, user_metadata=_object(body.get("data")))
        if self.autoconfirm:
            return self._signed_in(self._begin(user, "password"))
        if known is None:
            user.is_confirmed = False
            self._mail(user, "signup")
            return _json(_user(user))
        return _json({**_user(user), "id": str(uuid4()), "identities": []})  # as if it were new

    def _token(self, asked: Asked) -> Said:
        grants: dict[str, Callable[[Body], Said]] = {
            "password": self._by_password,
            "refresh_token": self._by_refresh_token,
            "pkce": self._by_code,
        }
        grant = grants.get(asked.query.get("grant_type", ""))
        if grant is None:
            raise Refusal(400, "invalid_credentials", "unsupported_grant_type")
        return grant(asked.json())

    def _by_password(self, body: Body) -> Said:
        user = self._users.get(str(body.get("email")).lower())
        if user is None or user.password is None or user.password != body.get("password"):
            raise Refusal(400, "invalid_credentials", "Invalid login credentials")
        return self._signed_in(self._begin(self._allowed(user), "password"))

    def _by_refresh_token(self, body: Body) -> Said:
        token = body.get("refresh_token")
        session = next((one for one in self._sessions.values() if token in one.refresh_tokens), None)
        if session is None or not isinstance(token, str):
            raise Refusal(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
        self._allowed(session.user)
        chain, now = session.refresh_tokens, self._clock.time()
        if token == chain[-1]:
            session.rotated_at[token] = now
            chain.append(secrets.token_urlsafe(12))
        elif token != chain[-2] and now - session.rotated_at[token] > REUSE_SECONDS:
            del self._sessions[session.id]
            raise Refusal(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
        return self._signed_in(session)

    def _by_code(self, body: Body) -> Said:
        code, verifier = str(body.get("auth_code")), str(body.get("code_verifier"))
        user, challenge = self._grants.get(code, (None, ""))
        if user is None:
            raise Refusal(400, "flow_state_not_found", "invalid flow state, no valid flow state found")
        digest = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if digest != challenge:
            raise Refusal(400, "bad_code_verifier", "code challenge does not match previously saved code verifier")
        del self._grants[code]
        return self._signed_in(self._begin(self._allowed(user), "oauth"))

    def _otp(self, asked: Asked) -> Said:
        body = asked.json()
        email = body.get("email")
        if not isinstance(email, str) or "@" not in email:
            raise Refusal(400, "validation_failed", "Unable to validate email address: invalid format")
        user = self._users.get(email.lower())
        if user is None and body.get("create_user") is False:
            raise Refusal(422, "otp_disabled", "Signups not allowed for otp")
        if user is None:
            user = self.add_user(email)
            user.is_confirmed = False
        self._mail(user, "magiclink" if user.is_confirmed else "signup")
        return _json({})

    def _verify(self, asked: Asked) -> Said:
        body = asked.json()
        kind, email, code = body.get("type"), str(body.get("email")), str(body.get("token"))
        if kind not in OTP_TYPES:
            raise Refusal(400, "validation_failed", "Verify requires a verification type")
        wanted, user = self._codes.get((email.lower(), str(kind)), ("", None))
        if user is None or not wanted or wanted != code:
            raise Refusal(403, "otp_expired", "Token has expired or is invalid")
        del self._codes[email.lower(), str(kind)]
        user.is_confirmed = True
        return self._signed_in(self._begin(self._allowed(user), "otp"))

    def _logout(self, asked: Asked) -> Said:
        session, scope = self._session_of(asked), asked.query.get("scope", "global")
        if scope not in ("global", "local", "others"):
            raise Refusal(400, "validation_failed", "Unsupported logout scope")
        for one in list(self._sessions.values()):
            is_mine = one.id == session.id
            if one.user is session.user and {"global": True, "local": is_mine, "others": not is_mine}[scope]:
                del self._sessions[one.id]
        return Said(status=204)

    def _user(self, asked: Asked) -> Said:
        return _json(_user(self._session_of(asked).user))

    def _change_user(self, asked: Asked) -> Said:
        user = self._session_of(asked).user
        user.user_metadata |= _object(asked.json().get("data"))
        return _json(_user(user))

    def _authorize(self, asked: Asked) -> Said:
        query = asked.query
        if not query.get("provider", "").isalnum() or query.get("code_challenge_method") != "s256":
            raise Refusal(400, "validation_failed", "PKCE flow requires a provider, and a code challenge of s256")
        state = secrets.token_urlsafe(16)
        self._flows[state] = (query.get("redirect_to", ""), query.get("code_challenge", ""), query["provider"])
        return _redirect(f"{self.issuer}/provider?{urlencode({'state': state})}")

    def _provider(self, asked: Asked) -> Said:
        """The provider's own pages: `email=` says who signs in there, `error=` that they would not."""
        return _redirect(f"{self.issuer}/callback?{urlencode(dict(asked.query))}")

    def _callback(self, asked: Asked) -> Said:
        flow = self._flows.pop(asked.query.get("state", ""), None)
        if flow is None:
            raise Refusal(400, "bad_oauth_state", "OAuth state not found or expired")
        back, challenge, provider = flow
        if "error" in asked.query:
            return _redirect(_also(back, error=asked.query["error"], error_code="provider_refused"))
        email = asked.query.get("email", "somebody@example.com")
        metadata = {"provider": provider, "providers": [provider]}
        user = self._users.get(email.lower()) or self.add_user(email, app_metadata=metadata)
        code = str(uuid4())
        self._grants[code] = user, challenge
        return _redirect(_also(back, code=code))

    def _jwks(self, _: Asked) -> Said:
        keys = KeyRing(None, self._verifying).public_jwks()["keys"]
        said = [{**key, "ext": True, "key_ops": ["verify"]} for key in keys]
        return _json({"keys": said}, headers={"Cache-Control": "public, max-age=600"})

    def _anonymous(self) -> FakeUser:
        user = self.add_user(f"{uuid4()}")
        user.email, user.is_anonymous = "", True
        return user

    def _allowed(self, user: FakeUser) -> FakeUser:
        if user.is_banned:
            raise Refusal(400, "user_banned", "User is banned")
        if not user.is_confirmed:
            raise Refusal(400, "email_not_confirmed", "Email not confirmed")
        return user

    def _begin(self, user: FakeUser, method: str) -> FakeSession:
        session = FakeSession(user=user, method=method, began=int(self._clock.time()))
        session.refresh_tokens.append(secrets.token_urlsafe(12))
        self._sessions[session.id] = session
        return session

    def _session_of(self, asked: Asked) -> FakeSession:
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        expected = Expected(issuer=self.issuer, audience="authenticated", typ=None, untyped=frozenset({"amr"}))
        try:
            claims = verify(token, keys=KeyRing(None, self._verifying), expected=expected, now=self._clock.time())
            return self._sessions[UUID(str(claims["session_id"]))]
        except (InvalidCredential, KeyError, ValueError):
            raise Refusal(401, "bad_jwt", "invalid JWT, or its session is over") from None

    def _mail(self, user: FakeUser, kind: str) -> None:
        code = f"{secrets.randbelow(10**6):06}"
        self._codes[user.email.lower(), kind] = code, user
        self.mails.append((user.email, code))

    def _access_token(self, session: FakeSession) -> str:
        return sign(self._claims(session), key=self._signing, typ="JWT")

    def _claims(self, session: FakeSession) -> Body:
        now, user = int(self._clock.time()), session.user
        return {
            "iss": self.issuer,
            "sub": str(user.id),
            "aud": "authenticated",
            "exp": now + self.access_token_seconds,
            "iat": now,
            "email": user.email,
            "phone": "",
            "app_metadata": user.app_metadata,
            "user_metadata": user.user_metadata,
            "role": "authenticated",
            "aal": session.aal,
            "amr": [{"method": session.method, "timestamp": session.began}],
            "session_id": str(session.id),
            "is_anonymous": user.is_anonymous,
            "jti": secrets.token_hex(8),
        }

    def _signed_in(self, session: FakeSession) -> Said:
        return _json(
            {
                "access_token": self._access_token(session),
                "token_type": "bearer",
                "expires_in": self.access_token_seconds,
                "expires_at": int(self._clock.time()) + self.access_token_seconds,
                "refresh_token": session.refresh_tokens[-1],
                "user": _user(session.user),
            }
        )


def _user(user: FakeUser) -> Body:
    moment = user.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {
        "id": str(user.id),
        "aud": "authenticated",
        "role": "authenticated",
        "email": user.email,
        **({"email_confirmed_at": moment} if user.is_confirmed else {"confirmation_sent_at": moment}),
        "phone": "",
        "last_sign_in_at": moment,
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "identities": [],
        "created_at": moment,
        "updated_at": moment,
        "is_anonymous": user.is_anonymous,
    }


def _object(value: object) -> Body:
    return dict(value) if isinstance(value, dict) else {}


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Said:
    kind = {"Content-Type": "application/json", **(headers or {})}
    return Said(status=status, body=json.dumps(body).encode(), headers=kind)


def _also(url: str, **parameters: str) -> str:
    """The URL with these in its query beside what is there."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def _redirect(url: str) -> Said:
    return Said(status=302, headers={"Location": url})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asked has gone: nobody needs to be told."""


def _handler(fake: FakeSupabase) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            if fake.is_gone:  # this connection outlived it
                self.close_connection = True
                return
            asked = Asked(method=self.command, path=parts.path, query=query, headers=headers, body=body)
            said = fake.answer(asked)
            time.sleep(said.delay)
            try:
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                if said.status != 204:
                    self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)
            except OSError:  # who asked has gone
                self.close_connection = True

        do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server asks for

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
