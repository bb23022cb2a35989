"""Cookie sessions and a page: no token ever touches JavaScript.

`limen dev` serves it with a first admin; open http://localhost:8000. The session is in an HttpOnly cookie, which the
browser sends by itself. So limen lets it change things only for pages of this origin (a foreign page gets 403
`cross_origin`), and the page needs no CSRF token.
"""

from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from limen import Accounts, Auth, Passwords, Principal, Role, Roles, Sessions, User

auth = Auth(
    roles=[
        Role("member", ["todos"], description="Everyone who registers.", default=True),
        Role("admin", ["*"], description="May do everything."),
    ],
    features=[Passwords(), Sessions(), Accounts(), Roles()],
)

app = FastAPI(title="Sessions")
auth.install(app, default="deny")  # a route that is neither guarded nor marked public stops the start

CurrentUser = Annotated[User, Depends(auth.current_user)]
Owner = Annotated[Principal, Depends(auth.require("todos"))]


class Todo(BaseModel):
    """One thing to do."""

    text: str = Field(min_length=1, max_length=200)


todos: dict[str, list[Todo]] = {}


@app.get("/me")
async def me(user: CurrentUser) -> dict[str, str]:
    """Who is signed in; 401 tells the page to show its form."""
    return {"email": user.email}


@app.get("/todos")
async def read_todos(owner: Owner) -> list[Todo]:
    """One's own; there is no id in the path that could be somebody else's."""
    return todos.get(owner.subject, [])


@app.post("/todos", status_code=201)
async def add_todo(todo: Todo, owner: Owner) -> Todo:
    """Changes something by cookie: only for this app's own page."""
    todos.setdefault(owner.subject, []).append(todo)
    return todo


PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>To do</title>
<style>
  body { font: 1rem/1.5 system-ui; max-width: 30rem; margin: 3rem auto; padding: 0 1rem }
  input, button { font: inherit; padding: .4rem; margin: .2rem 0 }
</style>
<h1>To do</h1>
<form id="sign-in" hidden>
  <label>E-mail <input name="username" type="email" autocomplete="username" required></label><br>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label><br>
  <button name="sign-in">Sign in</button> <button name="register">Register</button>
</form>
<main hidden>
  <p><span id="email"></span> <button id="sign-out">Sign out</button></p>
  <ul id="todos"></ul>
  <form id="add"><input name="text" maxlength="200" required> <button>Add</button></form>
</main>
<p id="trouble" role="alert"></p>
<script src="/page.js" type="module"></script>
</html>
"""
SCRIPT = """\
const find = (selector) => document.querySelector(selector);
const asJson = (value) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(value),
});

async function call(path, options) {
  const answer = await fetch(path, options);
  const body = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), { status: answer.status });
  return body;
}

async function show() {
  find("#trouble").textContent = "";
  try {
    find("#email").textContent = (await call("/me")).email;
  } catch (error) {
    if (error.status !== 401) throw error;
    find("#sign-in").hidden = false;
    find("main").hidden = true;
    return;
  }
  const items = (await call("/todos")).map((todo) => {
    const item = document.createElement("li");
    item.textContent = todo.text; // never innerHTML: what people write is text
    return item;
  });
  find("#todos").replaceChildren(...items);
  find("#sign-in").hidden = true;
  find("main").hidden = false;
}

function on(selector, kind, action) {
  find(selector).addEventListener(kind, async (event) => {
    event.preventDefault();
    try {
      await action(event);
      await show();
    } catch (error) {
      find("#trouble").textContent = error.message;
    }
  });
}

on("#sign-in", "submit", async (event) => {
  const form = new FormData(event.target);
  if (event.submitter.name === "register") {
    await call("/auth/register", asJson({ email: form.get("username"), password: form.get("password") }));
  }
  await call("/auth/login?deliver=cookie", { method: "POST", body: new URLSearchParams(form) });
  event.target.reset();
});
on("#add", "submit", async (event) => {
  await call("/todos", asJson({ text: new FormData(event.target).get("text") }));
  event.target.reset();
});
on("#sign-out", "click", () => call("/auth/logout", { method: "POST" }));
show();
"""
ONLY_OWN = {"Content-Security-Policy": "default-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"}


@app.get("/", response_class=HTMLResponse)
@auth.public
async def page() -> HTMLResponse:
    """The page: open to everyone, and empty for who is not signed in."""
    return HTMLResponse(PAGE, headers=ONLY_OWN)


@app.get("/page.js")
@auth.public
async def script() -> Response:
    """Its script, apart: the policy above allows none within the page."""
    return Response(SCRIPT, media_type="text/javascript")
