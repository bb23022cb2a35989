"""A load generator that costs less than what it asks: one thread, epoll, requests made beforehand."""

import select
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

BODY = b'"hello"'


def request(path: str, headers: Mapping[str, str]) -> bytes:
    """A GET as a client sends it, with a few of the headers that every client has."""
    usual = {"Host": "localhost", "User-Agent": "bench/1", "Accept": "*/*", "Accept-Encoding": "gzip"}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**usual, **headers}.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def load(port: int, message: bytes, *, seconds: float, connections: int = 16) -> int:
    """Send the request over and over; how many were answered with what is expected.

    Raises:
        RuntimeError: an answer is another, or a connection was closed.
    """
    poll, sockets = select.epoll(), {}
    for _ in range(connections):
        each = socket.create_connection(("127.0.0.1", port))
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[each.fileno()] = each
        poll.register(each.fileno(), select.EPOLLIN)
        each.send(message)
    answered, end = 0, time.perf_counter() + seconds
    try:
        while time.perf_counter() < end:
            for descriptor, _ in poll.poll(1):
                received = sockets[descriptor].recv(65536)
                if received.endswith((BODY, b"0\r\n\r\n")):
                    answered += 1
                    sockets[descriptor].send(message)
                elif not received or not received.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"the server answered {received[:300]!r}")
    finally:
        for each in sockets.values():
            each.close()
        poll.close()
    return answered


def cpu_microseconds(pids: Sequence[int]) -> float:
    """What these processes have used so far, all their threads, to the nanosecond (proc(5), schedstat)."""
    used = 0
    for pid in pids:
        used += sum(
            int((thread / "schedstat").read_text().split()[0]) for thread in Path(f"/proc/{pid}/task").iterdir()
        )
    return used / 1e3
