"""Another issuer: its metadata and keys over loopback HTTP, and every way in which these can be wrong."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from limen.core.jwt import sign
from limen.core.keys import KeyRing, SigningKey, VerifyingKey

METADATA = "/.well-known/oauth-authorization-server/tenant"
OPENID = "/tenant/.well-known/openid-configuration"
KEYS = "/tenant/keys"


@dataclass
class Answer:
    """What a path is answered with; `held` keeps it back until it is set, `drip` is the seconds from byte to byte."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    held: Event | None = None
    drip: float = 0


class KeyServer:
    """Serves the metadata and the keys of one issuer, and counts who asks for what."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer = f"{self.origin}/tenant"
        self.key = SigningKey.generate("ES256")
        self.say(METADATA, {"issuer": self.issuer, "jwks_uri": f"{self.origin}{KEYS}"})
        self.publish(self.key)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for answer in self.answers.values():
            if answer.held is not None:
                answer.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def say(self, path: str, document: object, **headers: str) -> None:
        """Answer a path with this document."""
        self.answers[path] = Answer(json.dumps(document).encode(), headers=headers)

    def publish(self, *keys: SigningKey | VerifyingKey, max_age: int | None = None) -> None:
        """The keys that verify from now on."""
        verifying = tuple(key.verifying_key() if isinstance(key, SigningKey) else key for key in keys)
        headers = {} if max_age is None else {"Cache-Control": f"public, max-age={max_age}"}
        self.say(KEYS, KeyRing(None, verifying).public_jwks(), **headers)

    def rotate(self) -> None:
        """Sign with another key, and publish that one only."""
        self.key = SigningKey.generate("ES256")
        self.publish(self.key)

    def token(self, *, key: SigningKey | None = None, typ: str = "at+jwt", **changes: Any) -> str:
        """A good access token, or one with these claims instead."""
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": "42",
            "iat": now,
            "exp": now + 3600,
            "scope": "items:read",
        }
        claims = {name: value for name, value in {**said, **changes}.items() if value is not None}
        return sign(claims, key=key or self.key, typ=typ)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked[self.path] += 1
                answer = server.answers.get(self.path, Answer(status=404))
                if answer.held is not None:
                    answer.held.wait(20)
                try:
                    self.send_response(answer.status)
                    for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    pieces = [bytes([byte]) for byte in answer.body] if answer.drip else [answer.body]
                    for piece in pieces:
                        self.wfile.write(piece)
                        time.sleep(answer.drip)
                except OSError:  # who asked has gone
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler
