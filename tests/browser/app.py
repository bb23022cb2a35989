"""A page as people write it: a form that signs in by cookie, a line that says who is known, a button to leave."""

from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from limen import Auth, Role, User

PAGE = """<!doctype html><title>app</title>
<form id="login"><input name="username"><input name="password" type="password"><button>Sign in</button></form>
<button id="logout">Sign out</button><p id="who">…</p>
<script>
const who = document.querySelector('#who');
const look = async () => {
  const answer = await fetch('/users/me');
  who.textContent = answer.ok ? (await answer.json()).email : 'nobody';
};
document.querySelector('#login').onsubmit = async (event) => {
  event.preventDefault();
  const body = new URLSearchParams(new FormData(event.target));
  await fetch('/auth/login?deliver=cookie', {method: 'POST', body});
  await look();
};
document.querySelector('#logout').onclick = async () => {
  await fetch('/auth/logout', {method: 'POST'});
  await look();
};
window.look = look;
look();
</script>"""

auth = Auth(roles=[Role("member", ["items:read"], default=True)])
app = FastAPI()
auth.install(app)


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


@app.get("/health")
async def health() -> str:
    return "ok"


@app.post("/transfer")
async def transfer(user: Annotated[User, Depends(auth.current_user)]) -> str:
    return f"moved for {user.email}"
