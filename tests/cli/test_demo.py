"""`limen demo` needs nothing, keeps what it made, and ends cleanly."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from tests.cli.conftest import Command, Serving
from tests.servers.ports import free_port

Serve = Callable[..., Serving]


def start(serve: Serve, *options: str) -> Serving:
    port = free_port()
    return serve("-m", "limen", "demo", "--port", str(port), *options, url=f"http://127.0.0.1:{port}")


def run_once(serve: Serve, *options: str) -> str:
    """Start it, wait until it serves, Ctrl-C; what it printed."""
    server = start(serve, *options)
    server.wait("/health")
    assert server.interrupt() == 0, server.output
    assert "Traceback" not in server.output
    return server.output


def printed_password(output: str) -> str:
    return output.partition("password  ")[2].split()[0]


def sign_in(url: str, password: str) -> dict[str, str]:
    form = urlencode({"username": "admin@example.com", "password": password}).encode()
    with urlopen(f"{url}/auth/login", data=form, timeout=10) as response:
        body = json.load(response)
    assert isinstance(body, dict)
    return body


def test_first_start_prints_the_admin_once_and_the_next_keeps_sessions(serve: Serve, home: Path) -> None:
    first = run_once(serve)
    assert "/docs" in first
    password = printed_password(first)
    assert {path.name for path in (home / ".limen-demo").iterdir()} >= {"secret", "limen.db", ".gitignore"}
    assert (home / ".limen-demo" / "secret").stat().st_mode & 0o777 == 0o600

    port = free_port()
    options = ("-m", "limen", "demo", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    server = serve(*options, url=url)
    server.wait("/health")
    token = sign_in(url, password)["access_token"]
    assert server.interrupt() == 0
    assert "password" not in server.output

    again = serve(*options, url=url)
    again.wait("/health")
    admin = Request(f"{url}/admin", headers={"Authorization": f"Bearer {token}"})
    with urlopen(admin, timeout=10) as response:
        assert response.status == 200
    assert again.interrupt() == 0


def test_several_workers_share_secret_and_database(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    output = run_once(serve, "--workers", "2", "--data", str(data))
    assert output.count("Application startup complete") == 2
    assert (data / "limen.db").exists()


def test_settings_of_the_environment_come_first(
    serve: Serve, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMEN_DATABASE_URL", database_url)
    monkeypatch.setenv("LIMEN_SECRET_KEY", "a secret of the tests that is long enough")
    assert printed_password(run_once(serve))
    assert not (home / ".limen-demo").exists()


def test_taken_port_is_one_sentence(command: Command, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("demo", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    expected = f"limen: Port {port} of 127.0.0.1 is taken: stop what listens there, or take another, "
    assert done.stderr == f"{expected}`limen demo --port {port + 1}`\n"
    assert list(home.iterdir()) == []


def test_unknown_host_is_one_sentence(command: Command) -> None:
    done = command("demo", "--host", "nowhere.invalid")
    assert done.returncode == 1
    assert done.stderr.startswith("limen: limen demo --host nowhere.invalid --port 8000 cannot listen there: ")
    assert done.stderr.count("\n") == 1
