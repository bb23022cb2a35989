"""What Supabase's access tokens say, and whom they prove: the project's keys decide, or its legacy secret."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from limen.core import base64url
from limen.core.admission import Address, Admission, Claims, is_address
from limen.core.claims import principal_of
from limen.core.jwt import END_OF_TIME, unverified_key, verify
from limen.core.keys import KeyRing, Keys, VerifyingKey
from limen.core.principal import Principal
from limen.core.rights import Held, carry
from limen.core.strict_json import parse_object
from limen.errors import InvalidCredential
from limen.features.trusted_issuers.service import IssuerTokens, TrustedIssuer
from limen.kernel import Kernel

_log = logging.getLogger("limen.supabase")

AUDIENCE = "authenticated"
ROLE = "authenticated"
LEGACY_KEY_ISSUER = "supabase"
"""`iss` of the anon and service_role keys, which are tokens by their form."""

_MAX_NAME = 255
_AMR = {
    "password": "pwd",
    "otp": "otp",
    "magiclink": "otp",
    "email/signup": "otp",
    "recovery": "otp",
    "totp": "otp",
    "mfa/totp": "otp",
    "mfa/phone": "sms",
    "sms": "sms",
    "mfa/webauthn": "hwk",
    "webauthn": "hwk",
}
"""Supabase's words in those of RFC 8176 §2; those that have none there, such as `oauth`, stay."""

Names = Callable[[Claims], Iterable[str]]


def app_roles(claims: Claims) -> Iterable[str]:
    """`app_metadata.roles`, which only the project's secret key can set; `user_metadata` is people's own to write."""
    return _texts(_app_metadata(claims).get("roles"))


def app_permissions(claims: Claims) -> Iterable[str]:
    """`app_metadata.permissions`."""
    return _texts(_app_metadata(claims).get("permissions"))


class SupabaseTokens:
    """Verifies access tokens of one project; no I/O as long as its keys and the person are known.

    Args:
        secret: the legacy one; only HS256 is verified with it, and HS256 only with it.
        roles, permissions: read them out of verified claims.
        anonymous: whether anonymous users come in.
    """

    def __init__(
        self,
        trusted: TrustedIssuer,
        kernel: Kernel,
        *,
        admission: Admission,
        secret: bytes | None,
        roles: Names,
        permissions: Names,
        anonymous: bool,
    ) -> None:
        leeway = kernel.settings.clock_leeway_seconds
        self.issuer = trusted.issuer
        self._kernel = kernel
        self._tokens = IssuerTokens(trusted, clock=kernel.clock, leeway=leeway)
        self._expected = trusted.expected(leeway=leeway)
        self._secret = secret
        self._admission = admission
        self._roles = roles
        self._permissions = permissions
        self._anonymous = anonymous

    @property
    def keys(self) -> Keys:
        """The project's public keys, as far as they are known."""
        return self._tokens.keys

    async def start(self) -> None:
        """Begin to fetch the keys; a project of the legacy secret alone has none, so they are fetched when needed."""
        if self._secret is None:
            await self._tokens.keys.start()

    async def stop(self) -> None:
        """End a fetch that is under way."""
        await self._tokens.keys.stop()

    async def prove(self, token: str) -> Principal:
        """Whom this token proves, with the row that they have here.

        Raises:
            InvalidCredential: nobody.
            Unavailable: the project's keys or the database cannot be asked.
        """
        return await self.admit(await self.verify(token))

    async def verify(self, token: str) -> Principal:
        """Whom this token proves, at Supabase.

        Raises:
            InvalidCredential: nobody.
            Unavailable: the project's keys cannot be asked.
        """
        verified = await self._verified(token)
        for check in CHECKS:
            check(verified.claims)
        return self._mapped(verified)

    async def admit(self, principal: Principal) -> Principal:
        """The same with the row that they have here.

        Raises:
            InvalidCredential: they have none and get none.
            Unavailable: the database cannot be asked.
        """
        if principal.claims.get("is_anonymous") is True and not self._anonymous:
            raise InvalidCredential("anonymous users are not let in: Supabase(anonymous=True)")
        return await self._kernel.newcomers.admit(principal, self._admission)

    async def _verified(self, token: str) -> Principal:
        algorithm, kid = unverified_key(token)
        if algorithm != "HS256":  # RFC 8725 §3.1: a key and its algorithm never part
            return await self._tokens.prove(token)
        if self._secret is None:
            raise InvalidCredential("signed with the legacy secret, and LIMEN_SUPABASE_JWT_SECRET is not set")
        ring = KeyRing(None, (VerifyingKey(kid or "legacy", "HS256", self._secret),))  # it has one key, however named
        return principal_of(verify(token, keys=ring, expected=self._expected, now=self._kernel.clock.time()))

    def _mapped(self, verified: Principal) -> Principal:
        claims = verified.claims
        said = Held(roles=_said(self._roles, claims), permissions=_said(self._permissions, claims))
        carried = carry(said, self._kernel.roles, scope=None)
        return replace(
            verified,
            session_id=str(claims["session_id"]),
            permissions=carried.permissions,
            roles=carried.roles,
            amr=_amr(claims),
            auth_time=_auth_time(claims),
        )


def check_role(claims: Claims) -> None:
    """Supabase: `role` is the database role; `anon` and `service_role` are keys of the project, nobody's tokens."""
    if claims.get("role") != ROLE:
        raise InvalidCredential("role is not authenticated: an anon or service_role key is not a user")


def check_session(claims: Claims) -> None:
    """Supabase: every access token has `session_id`, the session that it belongs to."""
    session = claims.get("session_id")
    if not isinstance(session, str) or not 0 < len(session) <= _MAX_NAME or not session.isprintable():
        raise InvalidCredential("session_id missing or not a name")


CHECKS: tuple[Callable[[Claims], None], ...] = (check_role, check_session)


def address_of(claims: Claims, *, confirmed: bool) -> Address | None:
    """The address, verified if the project confirms addresses; the token does not say whether it does."""
    email = claims.get("email")
    return Address(email=email, is_verified=confirmed) if is_address(email) else None


def _said(names: Names, claims: Claims) -> frozenset[str]:
    try:
        return frozenset(name for name in names(claims) if isinstance(name, str))
    except Exception:
        _log.exception("a function of the claims failed")
        raise InvalidCredential("the claims cannot be read by the app's own function") from None


def _app_metadata(claims: Claims) -> Mapping[str, object]:
    value = claims.get("app_metadata")
    return value if isinstance(value, Mapping) else {}


def _entries(claims: Claims) -> Sequence[object]:
    value = claims.get("amr")
    return value if isinstance(value, list) else ()


def _amr(claims: Claims) -> tuple[str, ...]:
    """`[{"method": "password", "timestamp": …}]`, or plain words where a hook of the project's writes them."""
    said = (entry.get("method") if isinstance(entry, Mapping) else entry for entry in _entries(claims))
    words = [_AMR.get(word, word) for word in said if isinstance(word, str)]
    second = ["mfa"] if claims.get("aal") == "aal2" else []
    return tuple(dict.fromkeys((*words, *second)))


def _auth_time(claims: Claims) -> datetime | None:
    """When the person last proved anything."""
    times = (entry.get("timestamp") for entry in _entries(claims) if isinstance(entry, Mapping))
    known = [time for time in times if isinstance(time, int | float) and 0 <= time < END_OF_TIME]
    return datetime.fromtimestamp(max(known), UTC) if known else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def claims_within(token: str) -> Claims:
    """What a token says that was verified before it was kept here, whether it is still good or not."""
    return parse_object(base64url.decode(token.split(".")[1]))


def key_role(key: str) -> str:
    """What an API key of the project may do: `publishable` or `secret`; a legacy one says so in its `role`."""
    if key.startswith("sb_secret_"):
        return "secret"
    try:
        role = parse_object(base64url.decode(key.split(".")[1])).get("role")
    except (IndexError, ValueError):
        return "publishable"
    return "secret" if role == "service_role" else "publishable"
