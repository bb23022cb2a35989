"""Another service, which takes the issuer's tokens. It has no database, no users and no secret.

    uvicorn verifier:app --port 8001 --no-proxy-headers

With REDIS_URL, the Redis or Valkey that the issuer publishes to, what is taken back there is refused here at once;
without it a token is good until it expires.
"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from limen import Principal, Verifier

verifier = Verifier(os.environ.get("ISSUER", "http://localhost:8000/auth"), redis_url=os.environ.get("REDIS_URL"))
CurrentPrincipal = Annotated[Principal, Depends(verifier.current_principal)]

app = FastAPI(title="verifier")
verifier.install(app)  # errors, OpenAPI, lifespan


@app.get("/whoami")
async def whoami(principal: CurrentPrincipal) -> dict[str, str]:
    """For anyone who is signed in at the issuer."""
    return {"subject": principal.subject, "issuer": principal.issuer}


@app.get("/items", dependencies=[Depends(verifier.require("items:read"))])
async def items() -> list[str]:
    """For who may read items."""
    return ["lamp", "ladder"]


@app.post("/items", status_code=201, dependencies=[Depends(verifier.require("items:write"))])
async def add_item() -> dict[str, str]:
    """For who may write items."""
    return {"status": "created"}


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether the process serves."""
    return {"status": "ok"}
