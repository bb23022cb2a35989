"""The clients that people have, against a started server."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, RSAKey
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session
from tests.servers.workers import Workers

from limen.core.keys import SigningKey

ITEMS = {"name": "lamp"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """The demo, on SQLite."""
    folder = tmp_path_factory.mktemp("clients")
    with Workers(1, database_url=f"sqlite+aiosqlite:///{folder}/limen.db") as workers:
        yield workers


def limen(server, *arguments, stdin=""):
    """The command line, as an operator beside the running server."""
    command = [sys.executable, "-m", "limen", *arguments]
    options = {"env": server.environment, "capture_output": True, "text": True, "timeout": 60, "cwd": "/"}
    return subprocess.run(command, input=stdin, check=False, **options)


def made(server, *arguments):
    done = limen(server, *arguments, "--app", "limen.demo:auth", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def service(server):
    return made(server, "services", "create", "ci-bot", "--role", "member")


@pytest.fixture(scope="module")
def key(server, service):
    return made(
        server, "api-keys", "create", "ci-bot", "--name", "ci", "--scope", "items:read", "--scope", "items:write"
    )


@pytest.fixture
def token_url(server):
    return f"{server[0].url}/auth/token"


@pytest.mark.parametrize("library", [requests, httpx2], ids=["requests", "httpx2"])
def test_python_clients_use_a_key(server, key, library):
    url = f"{server[0].url}/items"
    for headers in ({"X-API-Key": key["key"]}, {"Authorization": f"Bearer {key['key']}"}):
        assert library.post(url, headers=headers, json=ITEMS).status_code == 201
        answer = library.get(url, headers=headers)
        assert answer.status_code == 200
        assert answer.json()
        assert library.get(f"{server[0].url}/admin", headers=headers).status_code == 403
    answer = library.get(url, headers={"X-API-Key": key["key"][:-1]})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_curl_uses_a_key_and_gets_a_token(server, service, key, token_url):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")

    def run(*arguments):
        done = subprocess.run([curl, "-sS", "-m", "20", *arguments], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    items = f"{server[0].url}/items"
    assert isinstance(run("-H", f"X-API-Key: {key['key']}", items), list)
    assert isinstance(run("--oauth2-bearer", key["key"], items), list)
    basic = f"{service['client_id']}:{service['client_secret']}"
    tokens = run("-u", basic, "-d", "grant_type=client_credentials", "-d", "scope=items:read", token_url)
    assert (tokens["token_type"], tokens["scope"]) == ("bearer", "items:read")
    assert isinstance(run("--oauth2-bearer", tokens["access_token"], items), list)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_s_session_with_a_secret(server, service, token_url, method):
    with AuthlibSession(
        service["client_id"], service["client_secret"], token_endpoint_auth_method=method, scope="items:read"
    ) as session:
        tokens = session.fetch_token(token_url, grant_type="client_credentials")
        assert tokens["scope"] == "items:read"
        assert session.get(f"{server[0].url}/items").status_code == 200
        assert session.post(f"{server[0].url}/items", json=ITEMS).status_code == 403


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_authlib_s_session_with_a_signed_assertion(server, service, token_url, tmp_path, algorithm):
    pair = SigningKey.generate(algorithm)
    public = tmp_path / "public.pem"
    public.write_bytes(pair.verifying_key().material)
    made(server, "services", "add-key", "ci-bot", str(public))
    private = {"ES256": ECKey, "RS256": RSAKey}[algorithm].import_key(pair.pem)
    with AuthlibSession(
        service["client_id"], private, token_endpoint_auth_method="private_key_jwt", scope="items:write"
    ) as session:
        configured = "http://localhost:8000/auth/token"  # by LIMEN_BASE_URL, whatever name the request came by
        session.register_client_auth_method(PrivateKeyJWT(configured, alg=algorithm))
        for _ in range(2):
            tokens = session.fetch_token(token_url, grant_type="client_credentials")
            assert tokens["scope"] == "items:write"
        assert session.post(f"{server[0].url}/items", json=ITEMS).status_code == 201


@pytest.mark.parametrize("how", ["basic", "post"])
def test_requests_oauthlib_s_session(server, service, token_url, monkeypatch, how):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    client = BackendApplicationClient(service["client_id"], scope=["items:read"])
    with OAuth2Session(client=client) as session:
        if how == "basic":
            basic = HTTPBasicAuth(service["client_id"], service["client_secret"])
            tokens = session.fetch_token(token_url, auth=basic)
        else:
            tokens = session.fetch_token(token_url, client_secret=service["client_secret"], include_client_id=True)
        assert tokens["scope"] == ["items:read"]
        assert session.get(f"{server[0].url}/items").status_code == 200
    with OAuth2Session(client=client) as session, pytest.raises(InvalidClientError):
        session.fetch_token(token_url, auth=HTTPBasicAuth(service["client_id"], "wrong"))


def test_a_running_server_hears_of_what_the_command_line_revokes(server, service):
    import time

    url = f"{server[0].url}/items"
    first, second = (made(server, "api-keys", "create", "ci-bot") for _ in range(2))
    for key in (first, second):
        assert requests.get(url, headers={"X-API-Key": key["key"]}).status_code == 200
    made(server, "api-keys", "revoke", first["prefix"])
    done = limen(server, "api-keys", "leak", "--app", "limen.demo:auth", stdin=f"pasted: {second['key']}!")
    assert done.returncode == 0, done.stderr
    time.sleep(1.2)
    for key in (first, second):
        assert requests.get(url, headers={"X-API-Key": key["key"]}).status_code == 401
