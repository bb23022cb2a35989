"""AuthX, as its documentation shows it."""

from authx import AuthX, AuthXConfig
from fastapi import Depends, FastAPI

config = AuthXConfig(
    JWT_ALGORITHM="HS256",
    JWT_SECRET_KEY="a secret of more than thirty-two bytes, for benchmarks only",
    JWT_TOKEN_LOCATION=["headers"],
)
security = AuthX(config=config)
app = FastAPI()
security.handle_errors(app)


@app.post("/login")
async def login() -> dict[str, str]:
    return {"access_token": security.create_access_token(uid="alice")}


@app.get("/protected", dependencies=[Depends(security.access_token_required)])
async def protected() -> str:
    return "hello"
