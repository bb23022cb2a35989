"""A router whose guard was forgotten, and that reads tokens its own way."""

import jwt
from fastapi import APIRouter, WebSocket

router = APIRouter(prefix="/orders")


@router.get("")
async def orders(token: str) -> dict[str, object]:
    return jwt.decode(token, options={"verify_signature": False})


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
