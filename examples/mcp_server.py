"""An MCP server whose tools limen guards: the same people, permissions and revocations as in the rest of the app.

    pip install mcp
    limen migrate --app examples.mcp_server
    uvicorn examples.mcp_server:app --no-proxy-headers

Clients speak to http://localhost:8000/mcp with an access token or an API key of somebody here. Without one they get 401
and `resource_metadata`, where RFC 9728 says who issues tokens for it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import AnyHttpUrl, InstanceOf

from limen import Auth, AuthError, Principal, Role
from limen.http.scheme import Carrier, Presented

auth = Auth(roles=[Role("member", ["notes:read"], default=True), Role("editor", ["notes"]), Role("admin", ["*"])])
notes: dict[str, list[str]] = {}  # an app of yours has a table


class Proven(AccessToken):
    """What the MCP library carries through a request, with who it proves."""

    principal: InstanceOf[Principal]


class LimenTokens:
    """Asks limen, which remembers what it verified and hears of what is taken back: no look-up, no stale yes."""

    async def verify_token(self, token: str) -> AccessToken | None:
        if not token.isascii() or len(token) > 8192:
            return None
        try:
            who = await auth.kernel.authenticator.prove(Presented(Carrier.BEARER, token))
        except AuthError:
            return None
        client = who.client_id or who.subject
        scopes = sorted(who.permissions)
        return Proven(token=token, client_id=client, scopes=scopes, subject=who.subject, principal=who)


def caller(needed: str) -> Principal:
    """Who calls the tool, if they may.

    Raises:
        ToolError: they may not.
    """
    token = get_access_token()
    if not isinstance(token, Proven) or not token.principal.can(needed):
        raise ToolError(f"insufficient_scope: {needed}")
    return token.principal


server = MCPServer(
    "Notes",
    token_verifier=LimenTokens(),
    auth=AuthSettings(
        issuer_url=AnyHttpUrl(auth.settings.issuer),
        resource_server_url=AnyHttpUrl(f"{auth.settings.base_url}/mcp"),
        validate_token_resource=False,  # limen has verified `aud`
    ),
)


@server.tool()
def list_notes() -> list[str]:
    """The notes of whoever asks."""
    return notes.get(caller("notes:read").subject, [])


@server.tool()
def add_note(words: str) -> int:
    """Add a note; how many there are then."""
    mine = notes.setdefault(caller("notes:write").subject, [])
    mine.append(words)
    return len(mine)


@asynccontextmanager
async def run_server(_: FastAPI) -> AsyncIterator[None]:
    async with server.session_manager.run():
        yield


# Stateless: each request stands alone, with a credential that is asked for anew.
tools = server.streamable_http_app(stateless_http=True, json_response=True)
app = FastAPI(title="Notes", lifespan=run_server)
auth.install(app)
app.mount("/", tools)  # last: limen's routes and the app's own go before
