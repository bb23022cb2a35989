"""64 KB of body on limen's routes, refused before any work, however it comes (design §8.10)."""

import pytest
from tests.features.answers import refused

pytestmark = pytest.mark.anyio

LIMIT = 64 * 1024
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
PLACES = [
    ("/auth/login", FORM),
    ("/auth/token", FORM),
    ("/auth/revoke", FORM),
    ("/auth/refresh", JSON),
    ("/auth/register", JSON),
    ("/auth/password/change", JSON),
]


@pytest.fixture
async def alice(opened):
    mini = await opened()
    return await mini.signed_in()


async def in_pieces(size):
    for _ in range(size // 1024):
        yield b"x" * 1024
    yield b"x" * (size % 1024)


def says_too_large(answer, path):
    assert answer.status_code == 413, (path, answer.text)
    if path in ("/auth/token", "/auth/revoke"):
        assert answer.json()["error"] == "invalid_request"
    else:
        refused(answer, 413, "payload_too_large")


async def test_a_declared_body_over_the_limit_is_refused(alice):
    for path, kind in PLACES:
        says_too_large(await alice.post(path, content=b"x" * (LIMIT + 1), headers={"Content-Type": kind}), path)


async def test_a_body_in_pieces_over_the_limit_is_refused(alice):
    for path, kind in PLACES:
        answer = await alice.post(path, content=in_pieces(LIMIT + 1), headers={"Content-Type": kind})
        assert "content-length" not in answer.request.headers
        says_too_large(answer, path)


async def test_a_length_that_is_a_lie_helps_nobody(alice):
    for length in ("0", "10", "-1", "x", "9" * 40, "1e3"):
        headers = {"Content-Type": FORM, "Content-Length": length}
        answer = await alice.post("/auth/login", content=in_pieces(LIMIT + 1), headers=headers)
        says_too_large(answer, "/auth/login")


async def test_a_body_at_the_limit_is_read(alice):
    for path, kind in PLACES:
        answer = await alice.post(path, content=b"x" * LIMIT, headers={"Content-Type": kind})
        assert answer.status_code in (400, 401, 422, 200), (path, answer.text)


async def test_the_apps_own_routes_take_what_the_app_allows(opened):
    from fastapi import Request

    def routes(app, auth):
        @app.post("/upload")
        async def upload(request: Request) -> int:
            return len(await request.body())

    mini = await opened(routes=routes)
    assert (await mini.visitor().post("/upload", content=b"x" * (LIMIT * 4))).json() == LIMIT * 4
