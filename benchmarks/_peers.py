"""The apps that are measured: limen, nothing at all, and the peers, each in an environment of its own.

An environment is made once, in `.bench/`, with the newest versions there are; delete it to make it anew.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
from _cluster import PASSWORD

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.servers.ports import free_port

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent / ".bench"
OWN_BIN = Path(sys.executable).parent
PERSON = {"email": "alice@example.com", "password": PASSWORD}
SECRET = "a secret of more than thirty-two bytes, for benchmarks only"
SERVER_CORE, LOAD_CORE = 0, 1

Headers = Mapping[str, str]
Cases = Mapping[str, tuple[str, Headers]]
"""By the name of the case: which path is asked for, with which headers."""

SignIn = Callable[[httpx2.Client], Cases]


@dataclass(frozen=True, kw_only=True)
class App:
    """An app to measure.

    Attributes:
        module: under `apps/`, or the `.mjs` file beside it.
        packages: of an environment of its own; none: limen's.
        sign_in: makes a person and says what they ask for, with what.
    """

    name: str
    module: str
    sign_in: SignIn
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_node(self) -> bool:
        return self.module.endswith(".mjs")

    def versions(self) -> dict[str, str]:
        """What is measured, as installed."""
        if self.is_node:
            package = json.loads((BENCH / self.name / "node_modules/better-auth/package.json").read_text())
            return {"better-auth": package["version"]}
        names = [each.partition("[")[0] for each in self.packages] or ["limen"]
        if not self.packages:
            return {name: version(name) for name in ("limen", "fastapi", "uvicorn")}
        code = f"from importlib.metadata import version as v; print(*[v(n) for n in {[*names, 'fastapi']!r}])"
        found = subprocess.run(
            [BENCH / self.name / "bin/python", "-c", code], capture_output=True, text=True, check=True
        )
        return dict(zip([*names, "fastapi"], found.stdout.split(), strict=True))


def install(app: App) -> None:
    """Make the environment of an app, unless it is there.

    Raises:
        subprocess.CalledProcessError: something cannot be installed.
    """
    home = BENCH / app.name
    ready = home / ".ready"
    if not app.packages or (ready.exists() and ready.read_text() == repr(app.packages)):
        return
    print(f"installing {app.name} …", file=sys.stderr, flush=True)
    shutil.rmtree(home, ignore_errors=True)
    if app.is_node:
        home.mkdir(parents=True)
        (home / ".npmrc").write_text("omit-lockfile-registry-resolved=true\nfund=false\naudit=false\n")
        (home / "package.json").write_text('{"private": true, "type": "module"}')
        path = f"{OWN_BIN}{os.pathsep}{os.environ['PATH']}"
        command = [str(OWN_BIN / "npm"), "install", "--silent", *app.packages]
        subprocess.run(command, cwd=home, env={**os.environ, "PATH": path}, check=True)
    else:
        uv = str(OWN_BIN / "uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
        target = ["--quiet", "--python", str(home / "bin/python")]
        subprocess.run([uv, "pip", "install", *target, "uvicorn[standard]", *app.packages], check=True)
    ready.write_text(repr(app.packages))


class Running:
    """One worker of an app, pinned to a core, on a database of its own."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.cases: Cases = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="limen-bench-")))
        environment = {**os.environ, **self.app.environment, "PYTHONPATH": str(HERE / "apps")}
        if not self.app.packages:
            environment |= {"LIMEN_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/limen.db", "LIMEN_SECRET_KEY": SECRET}
            environment |= {
                "LIMEN_PASSWORDS_MEMORY_KIB": "8",
                "LIMEN_PASSWORDS_ITERATIONS": "1",
                "LIMEN_BASE_URL": self.url,
            }
            if self.app.module != "nothing":
                limen = [sys.executable, "-m", "limen", "--app", f"{self.app.module}:auth", "migrate"]
                subprocess.run(limen, cwd=folder, env=environment, check=True, capture_output=True)
        log = self._stack.enter_context((folder / "log").open("w"))
        process = subprocess.Popen(self._command(), cwd=folder, env=environment, stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        self.pid = process.pid
        os.sched_setaffinity(self.pid, {SERVER_CORE})
        try:
            with httpx2.Client(base_url=self.url, timeout=20) as client:
                self._until_served(client, process, folder / "log")
                self.cases = self.app.sign_in(client)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def _command(self) -> list[str]:
        if self.app.is_node:
            script = BENCH / self.app.name / self.app.module
            shutil.copy(HERE / "apps" / self.app.module, script)
            return [str(OWN_BIN / "node"), str(script), str(self.port)]
        python = str(BENCH / self.app.name / "bin/python") if self.app.packages else sys.executable
        server = [python, "-m", "uvicorn", f"{self.app.module}:app", "--port", str(self.port), "--no-proxy-headers"]
        return [*server, "--no-access-log", "--log-level", "warning"]

    def _until_served(self, client: httpx2.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
        for _ in range(400):
            if process.poll() is not None:
                raise RuntimeError(f"{self.app.name} did not start:\n{log.read_text()[-2000:]}")
            try:
                client.get("/")
            except httpx2.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"{self.app.name} does not answer")


# --- who asks for what


def _bearer(answer: httpx2.Response, key: str = "access_token") -> Headers:
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()[key]}"}


def _nobody(_: httpx2.Client) -> Cases:
    # The same requests as limen's: what is measured is not who has less to parse.
    bearer = {"Authorization": f"Bearer {'x' * 600}"}
    return {
        "nothing": ("/protected", bearer),
        "nothing_cookie": ("/protected", {"Cookie": f"limen={'x' * 70}"}),
        "nothing_api_key": ("/protected", {"X-API-Key": "x" * 58}),
        "nothing_router": ("/router/protected", bearer),
    }


BASES = {"limen_cookie": "nothing_cookie", "limen_api_key": "nothing_api_key", "limen_dependency": "nothing_router"}
"""With what a case is compared; the others with `nothing`."""


def _limen(client: httpx2.Client) -> Cases:
    client.post("/auth/register", json=PERSON).raise_for_status()
    form = {"username": PERSON["email"], "password": PERSON["password"]}
    bearer = _bearer(client.post("/auth/login", data=form))
    key = client.post("/auth/api-keys", json={"name": "bench"}, headers=dict(bearer))
    key.raise_for_status()
    client.post("/auth/login?deliver=cookie", data=form).raise_for_status()
    cookie = {"Cookie": f"limen={client.cookies['limen']}"}
    return {
        "limen_unguarded": ("/open", bearer),
        "limen_jwt": ("/protected", bearer),
        "limen_principal": ("/principal", bearer),
        "limen_cookie": ("/protected", cookie),
        "limen_api_key": ("/protected", {"X-API-Key": key.json()["key"]}),
        "limen_user": ("/user", bearer),
    }


def _limen_router(client: httpx2.Client) -> Cases:
    client.post("/auth/register", json=PERSON).raise_for_status()
    form = {"username": PERSON["email"], "password": PERSON["password"]}
    return {"limen_dependency": ("/router/protected", _bearer(client.post("/auth/login", data=form)))}


def _form_login(name: str, path: str, register: str | None = None) -> SignIn:
    def sign_in(client: httpx2.Client) -> Cases:
        if register is not None:
            client.post(register, json={**PERSON, "username": "alice"}).raise_for_status()
        form = {"username": PERSON["email"], "password": PERSON["password"]}
        return {name: ("/protected", _bearer(client.post(path, data=form)))}

    return sign_in


def _fullauth(client: httpx2.Client) -> Cases:
    client.post("/api/v1/auth/register", json=PERSON).raise_for_status()
    bearer = _bearer(client.post("/api/v1/auth/login", json=PERSON))
    return {"fullauth_claims": ("/protected", bearer), "fullauth_user": ("/user", bearer)}


def _better_auth(name: str) -> SignIn:
    def sign_in(client: httpx2.Client) -> Cases:
        answer = client.post("/api/auth/sign-up/email", json={**PERSON, "name": "Alice"})
        answer.raise_for_status()
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.cookies.jar)
        return {name: ("/protected", {"Cookie": cookies})}

    return sign_in


NOTHING = App(name="nothing", module="nothing", sign_in=_nobody)
LIMEN = App(name="limen", module="limen_app", sign_in=_limen)
LIMEN_ROUTER = App(name="limen_router", module="limen_router_app", sign_in=_limen_router)
PEERS = (
    App(
        name="handwritten",
        module="handwritten",
        packages=("fastapi", "pyjwt", "python-multipart"),
        sign_in=_form_login("handwritten_jwt", "/login"),
    ),
    App(name="authx", module="authx_app", packages=("authx",), sign_in=_form_login("authx_jwt", "/login")),
    App(
        name="fastapi_users",
        module="fastapi_users_app",
        packages=("fastapi-users[sqlalchemy]", "aiosqlite"),
        sign_in=_form_login("fastapi_users_jwt", "/login", "/register"),
    ),
    App(
        name="fullauth",
        module="fullauth_app",
        packages=("fastapi-fullauth[sqlalchemy]", "aiosqlite"),
        sign_in=_fullauth,
    ),
    App(
        name="crudauth",
        module="crudauth_app",
        packages=("crudauth", "aiosqlite", "sqlalchemy[asyncio]"),
        sign_in=_form_login("crudauth_jwt", "/token", "/register"),
    ),
    App(
        name="better_auth_server",
        module="better_auth_server_app",
        packages=("better-auth-server[fastapi,sqlalchemy]", "aiosqlite"),
        sign_in=_better_auth("better_auth_server_cookie_cache"),
    ),
    App(
        name="better_auth",
        module="better_auth.mjs",
        packages=("better-auth",),
        sign_in=_better_auth("better_auth_cookie_cache"),
    ),
)
