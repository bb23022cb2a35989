"""The demo, and a WebSocket that stays open until somebody ends it."""

from typing import Annotated

from fastapi import Depends, WebSocket

from limen import Principal
from limen.demo import app, auth

__all__ = ["app"]


@app.websocket("/open")
async def stay_open(websocket: WebSocket, _: Annotated[Principal, Depends(auth.require("items:read"))]) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())
