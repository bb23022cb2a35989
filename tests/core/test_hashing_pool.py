"""The bounded room for costly work: order, bound, departures, loops, forks, ends."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from limen.core import hashing_pool
from limen.core.hashing_pool import NICENESS, HashingPool
from limen.errors import Unavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def pool_of(*, workers: int = 1, waiting: int = 10) -> Iterator[HashingPool]:
    pool = HashingPool(workers=workers, waiting=waiting)
    try:
        yield pool
    finally:
        pool.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # what is awaited happens in threads
            await asyncio.sleep(0.001)


async def occupied(pool: HashingPool, gate: threading.Event) -> asyncio.Task[bool]:
    """A job that holds the pool's worker until `gate` is set."""
    began = threading.Event()

    def hold() -> bool:
        began.set()
        return gate.wait(5)

    task = asyncio.create_task(pool.run(hold))
    await until(began.is_set)
    return task


_others: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def _remember_the_threads_of_other_pools() -> None:
    _others.clear()
    _others.update(threading.enumerate())


def own_threads() -> list[threading.Thread]:
    threads = (thread for thread in threading.enumerate() if thread not in _others)
    return [thread for thread in threads if thread.name.startswith("limen-hash-")]


async def test_no_thread_starts_before_the_first_job() -> None:
    with pool_of() as pool:
        assert own_threads() == []
        assert await pool.run(lambda: 42) == 42
        assert [thread.name for thread in own_threads()] == ["limen-hash-0"]


async def test_what_a_job_raises_reaches_its_caller_and_the_next_job_runs() -> None:
    with pool_of() as pool:
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)
        assert await pool.run(lambda: "on") == "on"


async def test_jobs_run_first_come_first_served() -> None:
    gate, order = threading.Event(), list[int]()
    with pool_of(waiting=20) as pool:
        holder = await occupied(pool, gate)
        tasks = [asyncio.create_task(pool.run(partial(order.append, number))) for number in range(20)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(holder, *tasks)
    assert order == list(range(20))


async def test_no_more_jobs_run_at_once_than_there_are_workers() -> None:
    lock, running, peaks = threading.Lock(), set[int](), list[int]()

    def job(number: int) -> None:
        with lock:
            running.add(number)
            peaks.append(len(running))
        time.sleep(0.005)
        with lock:
            running.remove(number)

    with pool_of(workers=3, waiting=40) as pool:
        await asyncio.gather(*(pool.run(partial(job, number)) for number in range(30)))
        assert len(own_threads()) == 3
    assert max(peaks) == 3


async def test_one_job_too_many_is_refused_at_once_with_the_time_the_queue_needs() -> None:
    gate = threading.Event()
    with pool_of(waiting=100) as pool:
        for _ in range(20):
            await pool.run(lambda: time.sleep(0.05))
        holder = await occupied(pool, gate)
        tasks = [asyncio.create_task(pool.run(int)) for _ in range(100)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as refused:
            await pool.run(int)
        gate.set()
        await asyncio.gather(holder, *tasks)
    assert refused.value.status == 503
    assert 4 <= refused.value.retry_after <= 15  # 101 jobs of at least 50 ms


async def test_a_caller_who_left_costs_no_work_and_frees_the_place_at_once() -> None:
    gate, worked = threading.Event(), list[str]()
    with pool_of(waiting=1) as pool:
        holder = await occupied(pool, gate)
        left = asyncio.create_task(pool.run(lambda: worked.append("left")))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        stayed = asyncio.create_task(pool.run(lambda: worked.append("stayed")))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(holder, stayed)
    assert worked == ["stayed"]


async def test_a_caller_who_leaves_during_the_work_harms_nobody() -> None:
    gate = threading.Event()
    with pool_of() as pool:
        holder = await occupied(pool, gate)
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        gate.set()
        assert await pool.run(lambda: "on") == "on"


def test_a_loop_that_closed_before_the_answer_harms_nobody() -> None:
    gate = threading.Event()
    with pool_of() as pool:
        loop = asyncio.new_event_loop()
        task = loop.run_until_complete(occupied(pool, gate))
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()
        gate.set()
        assert asyncio.run(pool.run(lambda: "on")) == "on"


def test_several_loops_in_several_threads_share_one_pool() -> None:
    results = list[int]()

    async def ten(pool: HashingPool, first: int) -> None:
        results.extend(await asyncio.gather(*(pool.run(partial(int, number)) for number in range(first, first + 10))))

    with pool_of(waiting=100) as pool:
        threads = [threading.Thread(target=lambda i=i: asyncio.run(ten(pool, i * 10))) for i in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(own_threads()) == 1
    assert sorted(results) == list(range(50))


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux only")
async def test_workers_are_daemons_of_lower_priority_and_the_loop_keeps_its_own() -> None:
    def own() -> tuple[int, bool]:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), threading.current_thread().daemon

    before = own()[0]
    with pool_of() as pool:
        assert await pool.run(own) == (min(19, before + NICENESS), True)
    assert own()[0] == before


async def test_close_lets_the_running_job_end_refuses_the_rest_and_joins() -> None:
    gate = threading.Event()
    pool = HashingPool(workers=1, waiting=10)
    running = await occupied(pool, gate)
    waiting = asyncio.create_task(pool.run(lambda: "never"))
    await asyncio.sleep(0)
    threading.Timer(0.05, gate.set).start()
    await asyncio.to_thread(pool.close)
    assert own_threads() == []
    assert await running is True
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await pool.run(lambda: "never")
    pool.close()


async def test_a_thread_without_work_ends_and_the_next_job_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing_pool, "IDLE_SECONDS", 0.01)
    with pool_of() as pool:
        await pool.run(int)
        await until(lambda: own_threads() == [])
        assert await pool.run(lambda: "on") == "on"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_a_pool_of_its_own_even_if_the_parents_was_full_and_locked() -> None:
    done = python("""
import asyncio, os, threading
from limen.core.hashing_pool import HashingPool

pool, gate = HashingPool(workers=1, waiting=1), threading.Event()
crowd = threading.Thread(target=lambda: asyncio.run(fill()))

async def fill():
    await asyncio.gather(*(pool.run(gate.wait) for _ in range(2)))

crowd.start()
while not pool._queue:
    pass
pool._changed.acquire()
child = os.fork()
if child == 0:
    os._exit(asyncio.run(pool.run(lambda: 42)))
pool._changed.release()
gate.set()
crowd.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), asyncio.run(pool.run(lambda: "parent")))
""")
    assert done.stdout == "42 parent\n", done.stderr


def test_the_interpreter_ends_at_once_and_silently_with_jobs_waiting() -> None:
    done = python("""
import asyncio, time
from limen.core.hashing_pool import HashingPool
pool = HashingPool(workers=2, waiting=100)
async def main():
    jobs = [asyncio.create_task(pool.run(lambda: time.sleep(0.2))) for _ in range(50)]
    await jobs[0]
asyncio.run(main())
""")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
