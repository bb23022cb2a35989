"""GitHub, Apple and others as their documentation describes them, each at its own hosts; nothing here knows limen."""

import json
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

Handler = Callable[[httpx2.Request], httpx2.Response]


class Internet(httpx2.AsyncBaseTransport):
    """Hosts by name; whoever asks for another one fails the test."""

    def __init__(self, **hosts: Handler) -> None:
        self.hosts = dict(hosts)
        self.requests: list[httpx2.Request] = []

    def add(self, host: str, handler: Handler) -> None:
        self.hosts[host] = handler

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        return sent(self.hosts[request.url.host](request))


def sent(answer: httpx2.Response) -> httpx2.Response:
    """The answer as it comes over a wire: not read yet."""
    stream = httpx2.ByteStream(answer.content)
    return httpx2.Response(answer.status_code, headers=answer.headers, stream=stream)


def form_of(request: httpx2.Request) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode()))


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def challenge_of(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def says(status: int = 200, **body: Any) -> httpx2.Response:
    return httpx2.Response(status, json=body)


class GitHubDouble:
    """docs.github.com: *Authorizing OAuth apps*, *Get the authenticated user*, *List email addresses*."""

    def __init__(self, emails: list[dict[str, Any]], *, public_email: str | None = None) -> None:
        self.emails = emails
        self.public_email = public_email
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, set[str]] = {}

    def join(self, internet: Internet) -> None:
        internet.add("github.com", self.site)
        internet.add("api.github.com", self.api)

    def approve(self, url: str) -> str:
        """A person clicks *Authorize*; the URL that GitHub redirects to."""
        parts, asked = urlsplit(url), query_of(url)
        assert (parts.hostname, parts.path, asked["client_id"]) == ("github.com", "/login/oauth/authorize", "gh-client")
        code = secrets.token_hex(10)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def site(self, request: httpx2.Request) -> httpx2.Response:
        assert (request.method, request.url.path) == ("POST", "/login/oauth/access_token")
        form = form_of(request)
        if (form["client_id"], form["client_secret"]) != ("gh-client", "gh-secret"):
            return self.answer(request, error="incorrect_client_credentials", error_description="…")
        asked = self.codes.pop(form["code"], None)
        if asked is None or challenge_of(form.get("code_verifier", "")) != asked.get("code_challenge"):
            return self.answer(request, error="bad_verification_code", error_description="…")
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = set(asked["scope"].split())
        return self.answer(request, access_token=token, token_type="bearer", scope=asked["scope"].replace(" ", ","))

    def answer(self, request: httpx2.Request, **members: str) -> httpx2.Response:
        """A form by default; JSON for who accepts it. Errors are 200."""
        if "application/json" in request.headers.get("accept", ""):
            return says(**members)
        return httpx2.Response(200, text=urlencode(members))

    def api(self, request: httpx2.Request) -> httpx2.Response:
        if not request.headers.get("user-agent"):
            return says(403, message="Request forbidden by administrative rules.")
        scopes = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if scopes is None:
            return says(401, message="Bad credentials")
        if request.url.path == "/user":
            return says(login="octocat", id=583231, name="The Octocat", email=self.public_email, type="User")
        if request.url.path == "/user/emails" and scopes & {"user", "user:email"}:
            return httpx2.Response(200, json=self.emails)
        return says(404, message="Not Found")


class AppleDouble:
    """developer.apple.com, *Sign in with Apple REST API*: `/auth/authorize`, `/auth/token`, `/auth/keys`."""

    ISSUER = "https://appleid.apple.com"

    def __init__(self, *, developer_key: EllipticCurvePublicKey, email_verified: object = True) -> None:
        self.developer_key = developer_key
        self.email_verified = email_verified
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.codes: dict[str, dict[str, str]] = {}
        self.secrets: list[str] = []
        self.has_seen = False

    def join(self, internet: Internet) -> None:
        internet.add("appleid.apple.com", self.site)

    def approve(self, url: str) -> tuple[str, dict[str, str]]:
        """A person signs in; where Apple's page posts what. The name comes the first time only."""
        parts, asked = urlsplit(url), query_of(url)
        assert (parts.hostname, parts.path) == ("appleid.apple.com", "/auth/authorize")
        assert asked["response_mode"] == "form_post", "with the scopes name or email it must be form_post"
        code = f"c{secrets.token_hex(16)}.0.mxzs"
        self.codes[code] = asked
        posted = {"state": asked["state"], "code": code}
        if not self.has_seen:
            name = {"firstName": "Ann", "lastName": "Appleseed"}
            posted["user"] = json.dumps({"name": name, "email": "ann@privaterelay.appleid.com"})
        self.has_seen = True
        return asked["redirect_uri"], posted

    def site(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/.well-known/openid-configuration":
            return says(
                issuer=self.ISSUER,
                authorization_endpoint=f"{self.ISSUER}/auth/authorize",
                token_endpoint=f"{self.ISSUER}/auth/token",
                jwks_uri=f"{self.ISSUER}/auth/keys",
                response_modes_supported=["query", "fragment", "form_post"],
                token_endpoint_auth_methods_supported=["client_secret_post"],
                id_token_signing_alg_values_supported=["RS256"],
            )
        if path == "/auth/keys":
            jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
            return says(
                keys=[{**{name: jwk[name] for name in ("kty", "n", "e")}, "kid": "fh6", "use": "sig", "alg": "RS256"}]
            )
        assert (request.method, path) == ("POST", "/auth/token")
        return self.token(form_of(request))

    def token(self, form: Mapping[str, str]) -> httpx2.Response:
        try:
            header = jwt.get_unverified_header(form["client_secret"])
            claims = jwt.decode(form["client_secret"], self.developer_key, algorithms=["ES256"], audience=self.ISSUER)
        except jwt.PyJWTError:
            return says(400, error="invalid_client")
        lasts = claims["exp"] - claims["iat"]
        if (header["kid"], claims["iss"], claims["sub"]) != ("KEY1234567", "TEAM123456", "com.example.web"):
            return says(400, error="invalid_client")
        if lasts > 15_777_000 or form["client_id"] != claims["sub"]:
            return says(400, error="invalid_client")
        self.secrets.append(form["client_secret"])
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return says(400, error="invalid_grant")
        now = int(time.time())
        said = {
            "iss": self.ISSUER,
            "aud": claims["sub"],
            "sub": "001234.abcd.0638",
            "iat": now,
            "exp": now + 86_400,
            "nonce": asked["nonce"],
            "nonce_supported": True,
            "auth_time": now,
            "is_private_email": "true",
            "email": "ann@privaterelay.appleid.com",
            "email_verified": self.email_verified,
        }
        id_token = jwt.encode(said, self.key, algorithm="RS256", headers={"kid": "fh6", "typ": None})
        return says(access_token="a.b.c", token_type="Bearer", expires_in=3600, refresh_token="r.x", id_token=id_token)


class ApiDouble:
    """A provider without OpenID Connect for its website flow: a token endpoint, and one URL that says who came."""

    def __init__(self, *, authorize: str, token: str, profile: str, answer: Any, auth: str) -> None:
        self.authorize, self.token_url, self.profile = authorize, token, profile
        self.answer, self.auth = answer, auth
        self.codes: dict[str, dict[str, str]] = {}

    def join(self, internet: Internet) -> None:
        for url in (self.token_url, self.profile):
            internet.add(str(urlsplit(url).hostname), self.site)

    def approve(self, url: str) -> str:
        assert url.startswith(f"{self.authorize}?")
        asked = query_of(url)
        self.codes["the-code"] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': 'the-code', 'state': asked['state']})}"

    def site(self, request: httpx2.Request) -> httpx2.Response:
        if str(request.url) == self.profile:
            known = request.headers.get("authorization") == "Bearer the-token"
            return httpx2.Response(200, json=self.answer) if known else says(401)
        assert (request.method, str(request.url)) == ("POST", self.token_url)
        form = form_of(request)
        asked = self.codes.pop(form["code"], None)
        if self.client(request, form) != ("client", "secret") or asked is None:
            return says(400, error="invalid_grant")
        if challenge_of(form["code_verifier"]) != asked["code_challenge"]:
            return says(400, error="invalid_grant")
        return says(access_token="the-token", token_type="bearer", expires_in=7200)

    def client(self, request: httpx2.Request, form: Mapping[str, str]) -> tuple[str, str]:
        if self.auth == "post":
            return form.get("client_id", ""), form.get("client_secret", "")
        encoded = request.headers.get("authorization", "Basic Og==").removeprefix("Basic ")
        name, _, secret = b64decode(encoded).decode().partition(":")
        return unquote(name), unquote(secret)
