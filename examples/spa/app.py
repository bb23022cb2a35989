"""A single-page app by cookie: the page has no token that a script could lose, and a strict Content-Security-Policy.

    cd examples/spa && limen migrate --app app
    uvicorn app:app --no-proxy-headers

Open http://localhost:8000: sign up, sign in, add, sign out. The page is `index.html`, its script `page.js`. Both come
from the origin of the API, so neither CORS nor a CSRF token is needed: browsers say where a request is from.
"""

from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from limen import Auth, Role, User

HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

auth = Auth(roles=[Role("member", ["tasks"], default=True)])
Me = Annotated[User, Depends(auth.current_user)]

app = FastAPI(title="Tasks")
auth.install(app, default="deny")

tasks: dict[str, list[str]] = {}  # an app of yours has a table


class TaskIn(BaseModel):
    name: str = Field(min_length=1, max_length=200)


@app.get("/", include_in_schema=False)
@auth.public
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html", headers=HEADERS)


@app.get("/page.js", include_in_schema=False)
@auth.public
async def script() -> FileResponse:
    return FileResponse(HERE / "page.js", headers=HEADERS)


@app.get("/page.css", include_in_schema=False)
@auth.public
async def style() -> FileResponse:
    return FileResponse(HERE / "page.css", headers=HEADERS)


@app.get("/api/tasks", dependencies=[Depends(auth.require("tasks:read"))])
async def list_tasks(me: Me) -> list[str]:
    return tasks.get(str(me.id), [])


@app.post("/api/tasks", status_code=201, dependencies=[Depends(auth.require("tasks:write"))])
async def add_task(task: TaskIn, me: Me) -> list[str]:
    tasks.setdefault(str(me.id), []).append(task.name)
    return tasks[str(me.id)]


@app.get("/health")
@auth.public
async def health() -> str:
    return "ok"
