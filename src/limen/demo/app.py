"""The demo app: three roles, a guarded resource, an admin page, a WebSocket."""

from typing import Annotated

from fastapi import Depends, FastAPI, Path, WebSocket

from limen import Auth, Principal, Role, authenticated, role
from limen.auth import default_features
from limen.demo.items import Item, ItemIn, Items
from limen.features.oauth_login import OAuthLogin
from limen.features.supabase.feature import Supabase, SupabaseSettings
from limen.http.openapi import refusals
from limen.http.responses import answer_all_as_problems
from limen.settings import load

auth = Auth(
    roles=[
        Role("member", ["items:read", "items:write", "items:delete"], description="Uses the app.", default=True),
        Role("moderator", ["items"], description="Keeps the items in order."),
        Role("admin", ["*"], description="May do everything."),
    ],
    permissions={
        "items:read": "See items",
        "items:write": "Add items",
        "items:delete": "Delete one's own items",
        "items": "Everything with items, other people's too",
        "tokens:introspect": "Ask what a token is worth",
        "users:read": "See accounts",
        "users:write": "Change accounts, roles and permissions",
        "users:delete": "Delete accounts",
        "audit:read": "Read the audit log",
        "*": "Everything",
    },
    features=[
        *default_features(),
        OAuthLogin(),  # every provider that LIMEN_OAUTH_<NAME>_CLIENT_ID sets
        *([Supabase()] if load(SupabaseSettings).url else []),
    ],
)
app = FastAPI(title="limen demo", description="Sign in with **Authorize**, then try the routes.")
auth.install(app, default="deny")
answer_all_as_problems(app)

items = Items()
ItemId = Annotated[int, Path(ge=1, le=2**53)]
Reader = Annotated[Principal, Depends(auth.require("items:read"))]
Writer = Annotated[Principal, Depends(auth.require("items:write"))]
Anyone = Annotated[Principal, Depends(auth.require(authenticated()))]


@auth.policy("items:read", "items:delete")
def owner(principal: Principal, item: Item) -> bool:
    """These permissions count on one's own items; the wider `items` counts on all."""
    return item.owner_id == principal.user_id


def find_item(item_id: ItemId) -> Item | None:
    """The item of the path."""
    return items.get(item_id)


# The list shows every item to its readers, so a refusal may say that one exists.
Readable = Annotated[Item, Depends(auth.require("items:read", on=find_item, visible_to="items:read"))]
Deletable = Annotated[Item, Depends(auth.require("items:delete", on=find_item, visible_to="items:read"))]


@app.get("/")
@auth.public
async def home() -> dict[str, str]:
    """Where to go from here."""
    return {"name": "limen demo", "docs": "/docs"}


@app.get("/public")
@auth.public
async def public() -> dict[str, str]:
    """Open to everyone."""
    return {"message": "Everyone may read this."}


@app.get("/health")
@auth.public
async def health() -> dict[str, str]:
    """Whether the process serves."""
    return {"status": "ok"}


@app.get("/items")
async def list_items(_: Reader) -> list[Item]:
    """Every item."""
    return items.all()


@app.post("/items", status_code=201, responses=refusals(422))
async def add_item(item: ItemIn, writer: Writer) -> Item:
    """Add an item of one's own."""
    return items.add(item.name, owner_id=writer.user_id or "")


@app.get("/items/{item_id}", responses=refusals(404, 422))
async def read_item(item: Readable) -> Item:
    """One item, for its owner and for whoever holds `items:*`."""
    return item


@app.delete("/items/{item_id}", status_code=204, responses=refusals(404, 422))
async def delete_item(item: Deletable) -> None:
    """Delete an item of one's own, or any with `items:*`."""
    items.remove(item.id)


@app.get("/admin", dependencies=[Depends(auth.require(role("admin")))])
async def admin() -> dict[str, str]:
    """For the role admin."""
    return {"message": "Welcome, admin."}


@app.websocket("/ws")
async def ws(websocket: WebSocket, principal: Anyone) -> None:
    """Says who came in."""
    await websocket.accept()
    await websocket.send_json({"sub": principal.subject})
    await websocket.close()
