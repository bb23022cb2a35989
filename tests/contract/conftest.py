"""The demo app on a database of its own, running in a thread, so that whoever calls it needs no event loop."""

import asyncio
import importlib.util
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from limen.testing import as_user, create_tables
from limen.testing.supabase import FakeSupabase

SETTINGS = {
    "LIMEN_SECRET_KEY": "a secret of more than thirty-two bytes, for tests only",
    "LIMEN_PASSWORDS_MEMORY_KIB": "8",
    "LIMEN_PASSWORDS_ITERATIONS": "1",
}


@dataclass(frozen=True)
class Demo:
    """The running demo, as an ASGI app that can be called from any event loop."""

    module: ModuleType
    loop: asyncio.AbstractEventLoop

    def run(self, job: Coroutine[Any, Any, Any]) -> Any:
        """Run a job where the demo runs, and wait for it."""
        return asyncio.run_coroutine_threadsafe(job, self.loop).result(30)

    def admin_headers(self) -> dict[str, str]:
        """What a freshly signed-in administrator shows."""
        return dict(self.run(as_user(self.module.auth, roles=["admin"])).headers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":  # the fixture's affair
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        here = asyncio.get_running_loop()

        def back(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Awaitable[Any]]:
            async def call(*arguments: Any) -> Any:
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(*arguments), here))

            return call

        job = self.module.app(scope, back(receive), back(send))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(job, self.loop))


@pytest.fixture(scope="session")
def supabase() -> Iterator[FakeSupabase]:
    """The project at which the demo's people may sign in too."""
    with FakeSupabase() as project:
        yield project


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, supabase: FakeSupabase) -> Iterator[Demo]:
    """A demo of this test run's own: its module reads the settings when it is executed."""
    folder = tmp_path_factory.mktemp("demo")
    project = {"LIMEN_SUPABASE_URL": supabase.url, "LIMEN_SUPABASE_KEY": supabase.key}
    settings = {**SETTINGS, **project, "LIMEN_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/demo.db"}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LIMEN_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.chdir(folder)  # no .env of whoever runs the tests
        running = Demo(executed("limen.demo.app"), asyncio.new_event_loop())
    thread = threading.Thread(target=running.loop.run_forever, daemon=True)
    thread.start()
    stack = AsyncExitStack()
    running.run(create_tables(running.module.auth))
    running.run(stack.enter_async_context(running.module.app.router.lifespan_context(running.module.app)))
    yield running
    running.run(stack.aclose())
    running.loop.call_soon_threadsafe(running.loop.stop)
    thread.join(10)
    running.loop.close()


def executed(name: str) -> ModuleType:
    """The module, executed anew, whoever has imported it before."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
