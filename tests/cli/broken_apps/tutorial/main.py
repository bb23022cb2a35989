"""What the old tutorials have: JWT by hand, on libraries that nobody mends any more."""

from datetime import UTC, datetime, timedelta

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from jose import JWTError, jwt
from passlib.context import CryptContext

SECRET_KEY = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"
ALGORITHM = "HS256"

passwords = CryptContext(schemes=["bcrypt"], deprecated="auto")
bearer = OAuth2PasswordBearer(tokenUrl="token")
app = FastAPI()
users = {"johndoe": {"password": "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW"}}


async def current_user(token: str = Depends(bearer)):
    try:
        return jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM])["sub"]
    except JWTError:
        raise HTTPException(status_code=401) from None


@app.post("/token")
async def login(form: OAuth2PasswordRequestForm = Depends()):
    user = users.get(form.username)
    if user is None or not passwords.verify(form.password, user["password"]):
        raise HTTPException(status_code=400)
    expires = datetime.now(UTC) + timedelta(minutes=30)
    return {"access_token": jwt.encode({"sub": form.username, "exp": expires}, SECRET_KEY, algorithm=ALGORITHM)}


@app.get("/users/me")
async def me(user: str = Depends(current_user)):
    return user


@app.get("/claims")
async def claims(token: str = Depends(bearer)):
    return jwt.get_unverified_claims(token)
