"""The service where people sign in. Its tokens are signed with a key whose public half everybody may fetch.

    export LIMEN_ALGORITHM=ES256 LIMEN_BASE_URL=http://localhost:8000 LIMEN_SECRET_KEY=…
    python -m limen migrate --app issuer:app
    uvicorn issuer:app --port 8000 --no-proxy-headers

With LIMEN_REDIS_URL it also tells the other services what is taken back.
"""

from fastapi import FastAPI

from limen import Auth, Role

auth = Auth(roles=[Role("member", ["items:read"], default=True), Role("editor", ["items"])])

app = FastAPI(title="issuer")
auth.install(app)  # /auth/register, /auth/login, /.well-known/jwks.json, …


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether the process serves."""
    return {"status": "ok"}
