"""The tests' servers for the benchmarks: workers, PostgreSQL, Valkey; loopback only, gone when the script ends."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import Worker, Workers

__all__ = ["PASSWORD", "REAL_HASHING", "PostgresServer", "ValkeyServer", "Worker", "Workers", "machine", "percentile"]

PASSWORD = "correct horse battery staple"
REAL_HASHING = {"LIMEN_PASSWORDS_MEMORY_KIB": str(19 * 1024), "LIMEN_PASSWORDS_ITERATIONS": "2"}


def percentile(values: list[float], which: int) -> float:
    """The `which`-th percentile; of fewer than a hundred values the 99th is the greatest."""
    if len(values) < 100:
        return sorted(values)[min(len(values) - 1, len(values) * which // 100)]
    return quantiles(values, n=100)[which - 1]


def machine() -> dict[str, object]:
    """Where figures were taken."""
    packages = ("fastapi", "uvicorn", "sqlalchemy", "argon2-cffi")
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        **{name: version(name) for name in packages},
    }
