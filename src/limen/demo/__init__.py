"""The demo: a whole small app on limen, `uvicorn limen.demo:app`. Read `app.py` first."""

from limen.demo.app import app, auth

__all__ = ["app", "auth"]
