"""What one writes after FastAPI's tutorial: a dependency that decodes the JWT, without a database."""

import time
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Form, HTTPException
from fastapi.security import OAuth2PasswordBearer

SECRET = "a secret of more than thirty-two bytes, for benchmarks only"
bearer = OAuth2PasswordBearer(tokenUrl="login")
app = FastAPI()


async def current_subject(token: Annotated[str, Depends(bearer)]) -> str:
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"}) from None
    return str(claims["sub"])


@app.post("/login")
async def login(username: Annotated[str, Form()]) -> dict[str, str]:
    claims = {"sub": username, "exp": int(time.time()) + 3600}
    return {"access_token": jwt.encode(claims, SECRET, algorithm="HS256"), "token_type": "bearer"}


@app.get("/protected")
async def protected(_: Annotated[str, Depends(current_subject)]) -> str:
    return "hello"
