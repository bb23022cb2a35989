"""HTTP of the feature `tokens`: the token endpoint, refresh, revocation, introspection, metadata."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from limen.core.login import Completed, TokenRequest
from limen.core.oauth_client import ProvenClient
from limen.core.policy import permission
from limen.errors import InvalidClient, InvalidRequest, UnauthorizedClient, UnsupportedGrantType
from limen.features.tokens.service import TokenService
from limen.http.oauth_client import JWT_BEARER, read_client
from limen.http.openapi import oauth_refusals, refusals
from limen.http.routing import FormFields, LimenRoute, OAuthRoute, form_schema
from limen.kernel import Kernel

INTROSPECT = permission("tokens:introspect")
KEYS_MAX_AGE = 300


class RefreshIn(BaseModel):
    """The token travels in the body, never in the URL."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str


class TokensOut(BaseModel):
    """RFC 6749 §5.1."""

    access_token: str
    refresh_token: str | None = None
    token_type: str
    expires_in: int
    scope: str


class SignedInOut(TokensOut):
    """A finished sign-in."""

    refresh_token: str
    status: str


class RefreshGrant:
    """`grant_type=refresh_token` (RFC 6749 §6)."""

    grant_type = "refresh_token"

    def __init__(self, service: TokenService) -> None:
        self._service = service

    async def redeem(self, request: TokenRequest) -> Completed:
        token = request.form.get("refresh_token")
        if not token:
            raise InvalidRequest("refresh_token is missing")
        return await self._service.refresh(token, client=request.client, scope=request.form.get("scope"))


def routes(service: TokenService) -> Sequence[APIRouter]:
    """The routers of the feature."""
    return (_oauth_routes(service), _refresh_route(service), _metadata_routes(service))


def _oauth_routes(service: TokenService) -> APIRouter:
    kernel = service.kernel
    router = APIRouter(prefix=kernel.auth_prefix, tags=["auth"], route_class=OAuthRoute)

    @router.post(
        "/token",
        response_model=TokensOut,
        responses=oauth_refusals(400, 401, 413, 415, 429, 503),
        openapi_extra=form_schema({"grant_type": "`password`, `refresh_token`, …"}, _TOKEN_FIELDS),
    )
    async def token(request: Request, form: FormFields) -> Response:
        """Exchange a grant for tokens (RFC 6749 §3.2)."""
        oauth_client = await _prove_client(kernel, request, form)
        grant_type = form.get("grant_type")
        if not grant_type:
            raise InvalidRequest("grant_type is missing")
        grant = kernel.grants.get(grant_type)
        if grant is None:
            raise UnsupportedGrantType("no feature brings this grant")
        if oauth_client is not None and grant_type not in oauth_client.grant_types:
            raise UnauthorizedClient("not among the grant types of this client", client=oauth_client.client_id)
        asked = TokenRequest(form=form, client=kernel.client(request), oauth_client=oauth_client)
        completed = await grant.redeem(asked)
        return JSONResponse(dict(completed.body))

    @router.post(
        "/revoke",
        response_class=Response,
        responses=oauth_refusals(400, 401, 413, 415, 429, 503),
        openapi_extra=form_schema({"token": "the token to revoke"}, {"token_type_hint": "not needed"}),
    )
    async def revoke(request: Request, form: FormFields) -> Response:
        """End the session of a token, whatever it is worth (RFC 7009)."""
        oauth_client = await _prove_client(kernel, request, form)
        await service.revoke(_token_in(form), oauth_client=oauth_client, client=kernel.client(request))
        return Response(status_code=200)

    @router.post(
        "/introspect",
        dependencies=[Depends(kernel.require(INTROSPECT))],
        responses=oauth_refusals(400, 401, 403, 413, 415, 429, 503),
        openapi_extra=form_schema({"token": "the token to look at"}, {"token_type_hint": "not needed"}),
    )
    async def introspect(form: FormFields) -> JSONResponse:
        """What a token is worth now (RFC 7662)."""
        return JSONResponse(dict(await service.introspect(_token_in(form))))

    return router


def _refresh_route(service: TokenService) -> APIRouter:
    router = APIRouter(prefix=service.kernel.auth_prefix, tags=["auth"], route_class=LimenRoute)

    @router.post("/refresh", response_model=SignedInOut, responses=refusals(400, 401, 413, 422, 429, 503))
    async def refresh(body: RefreshIn, request: Request) -> JSONResponse:
        """Rotate a refresh token; tabs and retries within the grace get the same successor."""
        completed = await service.refresh(body.refresh_token, client=service.kernel.client(request))
        return JSONResponse({**completed.body, "status": "complete"})

    return router


def _metadata_routes(service: TokenService) -> APIRouter:
    router = APIRouter(tags=["metadata"], route_class=LimenRoute)
    settings, prefix = service.kernel.settings, service.kernel.auth_prefix

    @router.get("/.well-known/jwks.json")
    async def jwks() -> JSONResponse:
        """The public keys that verify access tokens (RFC 7517 §5); none under HS256."""
        return _public(service.kernel.keys.ring.public_jwks())

    @router.get("/.well-known/oauth-authorization-server")
    @router.get(f"/.well-known/oauth-authorization-server{prefix}", include_in_schema=False)
    async def authorization_server() -> JSONResponse:
        """Where the endpoints are and what they take (RFC 8414)."""
        at = settings.base_url.rstrip("/") + prefix
        return _public(
            {
                "issuer": settings.issuer,
                "token_endpoint": f"{at}/token",
                "revocation_endpoint": f"{at}/revoke",
                "introspection_endpoint": f"{at}/introspect",
                "jwks_uri": settings.base_url.rstrip("/") + "/.well-known/jwks.json",
                "grant_types_supported": sorted(service.kernel.grants),
                "response_types_supported": [],
                "scopes_supported": sorted(service.kernel.scopes),
                **_client_methods(service.kernel),
            }
        )

    @router.get("/.well-known/oauth-protected-resource")
    async def protected_resource() -> JSONResponse:
        """Who issues the tokens that this app accepts (RFC 9728)."""
        return _public(
            {
                "resource": settings.audience or settings.base_url.rstrip("/"),
                "authorization_servers": [settings.issuer],
                "scopes_supported": sorted(service.kernel.scopes),
                "bearer_methods_supported": ["header"],
                "jwks_uri": settings.base_url.rstrip("/") + "/.well-known/jwks.json",
            }
        )

    return router


async def _prove_client(kernel: Kernel, request: Request, form: Mapping[str, str]) -> ProvenClient | None:
    """RFC 6749 §3.2.1: a client that names itself must prove it.

    Raises:
        InvalidClient: it does not.
    """
    presented = read_client(request, form)
    if presented is None:
        return None
    method = kernel.client_methods.get(presented.method)
    if method is None:
        raise InvalidClient("no client is known by this method", method=presented.method, client=presented.client_id)
    with kernel.limits.failing("client", client=kernel.client(request)):
        return await method.prove(presented)


def _client_methods(kernel: Kernel) -> Mapping[str, object]:
    """RFC 8414 §2: the methods, and the algorithms of signed assertions, which MUST be told where one is taken."""
    methods = ["none", *sorted(kernel.client_methods)]
    found: dict[str, object] = {}
    for endpoint in ("token_endpoint", "revocation_endpoint"):
        found[f"{endpoint}_auth_methods_supported"] = methods
        if "private_key_jwt" in methods:
            found[f"{endpoint}_auth_signing_alg_values_supported"] = ["ES256", "EdDSA", "RS256"]
    return found


def _token_in(form: Mapping[str, str]) -> str:
    token = form.get("token")
    if not token:
        raise InvalidRequest("token is missing")
    return token


def _public(document: Mapping[str, object]) -> JSONResponse:
    return JSONResponse(dict(document), headers={"Cache-Control": f"max-age={KEYS_MAX_AGE}"})


_TOKEN_FIELDS = {
    "username": "e-mail address or username, for `password`",
    "password": "for `password`",
    "challenge": "the answer to a challenge, for `password`, after `challenge_required`",
    "refresh_token": "for `refresh_token`",
    "scope": "space separated; asking for more than is held is dropped",
    "client_id": "of a service account, for `client_credentials`; none is needed else",
    "client_secret": "the same; or by HTTP Basic",
    "client_assertion_type": f"`{JWT_BEARER}`, for a signed assertion instead of a secret",
    "client_assertion": "a JWT (RFC 7523)",
    "resource": "another audience for the token (RFC 8707), for `client_credentials`",
}
