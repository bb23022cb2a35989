"""A bounded room for work that costs CPU and memory, off the event loop."""

import asyncio
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from math import ceil
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from limen.errors import Unavailable

T = TypeVar("T")

NICENESS = 10
IDLE_SECONDS = 30.0
FIRST_GUESS_SECONDS = 0.025  # one Argon2id at limen's defaults; measured from the first job on
WEIGHT_OF_LATEST = 0.2


class _Job(Generic[T]):
    """A call whose caller may go away while it waits."""

    __slots__ = ("_call", "_future")

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._future: Future[T] = Future()

    async def outcome(self) -> T:
        """Waits in the loop of the caller, whichever that is."""
        return await asyncio.wrap_future(self._future)

    def perform(self) -> Callable[[], None] | None:
        """Does the work and hands back the telling of it; None if the caller left: then it cost nothing."""
        if not self._future.set_running_or_notify_cancel():
            return None
        try:
            return partial(self._future.set_result, self._call())
        except BaseException as error:  # whatever it is belongs to the caller; the thread goes on
            return partial(self._future.set_exception, error)

    def refuse(self, error: Exception) -> None:
        if self._future.set_running_or_notify_cancel():
            self._future.set_exception(error)

    def withdraw(self) -> bool:
        """Whether it was taken back before it began."""
        return self._future.cancel()


class HashingPool:
    """Runs costly calls first come, first served, without slowing the event loop.

    asyncio's default pool (up to 32 threads) and anyio's (40) would let a login flood hold a Gibibyte of Argon2
    memory and all processors. Here `workers` daemon threads of lower priority (on Linux; elsewhere of the same) do
    one job each at a time, so peak memory is `workers` x the cost of one job, and those who wait are counted.

    Threads start with the first job, end after 30 s without one, and serve any number of event loops. A forked
    child begins with an empty pool of its own.

    Args:
        workers: threads in this process.
        waiting: jobs that may wait beside those that run; the next is refused.
    """

    def __init__(self, *, workers: int, waiting: int) -> None:
        self._workers = workers
        self._waiting = waiting
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[_Job[Any]] = deque()
        self._threads: set[threading.Thread] = set()
        self._busy = 0
        self._closing = False
        self._seconds = FIRST_GUESS_SECONDS

    async def run(self, call: Callable[[], T]) -> T:
        """Waits for its turn, then for the result of `call`. A caller that is cancelled leaves no work behind.

        Raises:
            Unavailable: too many wait, or the pool is closing; `retry_after` is when the present queue will be done.
        """
        job = _Job(call)
        self._enqueue(job)
        try:
            return await job.outcome()
        except asyncio.CancelledError:
            self._withdraw(job)
            raise

    def close(self) -> None:
        """Refuses those who wait, lets the running jobs end, joins the threads. For good; calling it twice is fine."""
        with self._changed:
            self._closing = True
            refused, threads = list(self._queue), list(self._threads)
            self._queue.clear()
            self._changed.notify_all()
        for job in refused:
            job.refuse(Unavailable("the hashing pool closed before this job's turn"))
        for thread in threads:
            thread.join()

    def _enqueue(self, job: _Job[T]) -> None:
        with self._changed:
            if self._closing:
                raise Unavailable("the hashing pool is closed")
            if len(self._queue) + self._busy >= self._workers + self._waiting:
                raise Unavailable("the hashing queue is full", retry_after=self._drained_in())
            if len(self._threads) < min(self._workers, len(self._queue) + self._busy + 1):
                self._hire()
            self._queue.append(job)
            self._changed.notify()

    def _drained_in(self) -> int:
        return max(1, ceil((len(self._queue) + self._busy) * self._seconds / self._workers))

    def _hire(self) -> None:
        name = f"limen-hash-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        self._threads.add(thread)

    def _withdraw(self, job: _Job[T]) -> None:
        """Frees its place at once, so that callers who left do not make others wait or be refused."""
        if job.withdraw():
            with self._changed, suppress(ValueError):
                self._queue.remove(job)

    def _work(self) -> None:
        _yield_to_the_loop()
        while (job := self._next()) is not None:
            started = time.monotonic()
            tell = job.perform()
            self._finished(time.monotonic() - started if tell else None)
            if tell:
                tell()  # last, so that whoever is told finds the place free
            del job, tell  # they hold a password, and this thread may now sleep

    def _next(self) -> _Job[Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, timeout=IDLE_SECONDS)
            if not self._queue:
                self._threads.discard(threading.current_thread())
                return None
            self._busy += 1
            return self._queue.popleft()

    def _finished(self, seconds: float | None) -> None:
        with self._changed:
            self._busy -= 1
            if seconds is not None:
                self._seconds += WEIGHT_OF_LATEST * (seconds - self._seconds)


def _yield_to_the_loop() -> None:
    """Lowers the priority of the calling thread alone. Only Linux takes a thread's id here: elsewhere the same
    number may be another process."""
    if sys.platform == "linux":
        with suppress(OSError):
            own = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, own, min(19, os.getpriority(os.PRIO_PROCESS, own) + NICENESS))


_pools: WeakSet[HashingPool] = WeakSet()


def _begin_anew_in_child() -> None:
    for pool in list(_pools):  # threads do not survive a fork, and a lock may have been held at that moment
        pool._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_in_child)
