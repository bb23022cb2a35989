"""How long it takes to walk a long audit record: `python benchmarks/audit_verify.py [--entries 1000000] [--json]`.

Makes a chain of genuine entries in a SQLite file, as limen's sealer does, then verifies it in a process of its own, the
way `limen audit verify` does, and says how long that took and how much memory it needed.
"""

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from limen import Auth, AuthSettings
from limen.core.audit_chain import SAID, Entry, Head, Row, content_of, link
from limen.features import Audit
from limen.testing import create_tables

SECRET = "a secret of the benchmarks, known to everybody"
TARGET_SECONDS = 30.0
BATCH = 20_000


def auth_on(path: Path) -> Auth:
    settings = AuthSettings(_env_file=None, secret_key=SECRET, database_url=f"sqlite+aiosqlite:///{path}")
    return Auth(settings=settings)


async def make_tables(auth: Auth) -> None:
    await create_tables(auth)
    await auth.kernel.database.dispose()


def fill(path: Path, number: int) -> None:
    """Insert what the store inserts and place it as the chain places it, without a round trip for each."""
    auth = auth_on(path)
    asyncio.run(make_tables(auth))
    keys, head, began = auth[Audit].chain._keys, Head(), datetime(2026, 1, 1, tzinfo=UTC)
    database = sqlite3.connect(path)
    columns = ("id", "seq", *SAID, "key_id", "mac", "hash", "seal")
    insert = f"INSERT INTO limen_audit ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for first in range(1, number + 1, BATCH):
        rows = []
        for seq in range(first, min(first + BATCH, number + 1)):
            entry = _entry(seq, began)
            said = entry.values()
            content = content_of(said)
            mac = keys.present.sign(b"entry", content)
            made = link(head.hash, Row(seq, None, None, mac, None, None, said), content, seq=seq, key=keys.present)
            head = replace(head, seq=seq, hash=made.hash)
            moment = entry.at.replace(tzinfo=None).isoformat(" ", "microseconds")
            rows.append((seq, seq, entry.event_id, moment, *said[2:], made.key_id, mac, made.hash, made.seal))
        database.executemany(insert, rows)
        database.commit()
    row = (1, head.seq, head.hash, 0, head.anchor_hash, keys.present.id, head.sign(keys.present))
    database.execute("INSERT INTO limen_audit_head VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    database.commit()
    database.close()


def _entry(seq: int, began: datetime) -> Entry:
    return Entry(
        event_id=UUID(int=seq).hex,
        at=began + timedelta(seconds=seq),
        event="logged_in",
        result="success",
        subject=str(UUID(int=seq % 1000)),
        actor_kind="user",
        actor=str(UUID(int=seq % 1000)),
        method="pwd",
        ip="203.0.113.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        details=f'{{"amr":["pwd"],"session_id":"{UUID(int=seq)}"}}',
    )


async def verify(path: Path) -> None:
    auth = auth_on(path)
    began = time.perf_counter()
    report = await auth[Audit].verify()
    seconds = time.perf_counter() - began
    await auth.kernel.database.dispose()
    used = resource.getrusage(resource.RUSAGE_SELF)
    megabytes = used.ru_maxrss / 1024
    flaws = [flaw.sentence for flaw in report.flaws]
    cpu = used.ru_utime + used.ru_stime
    print(
        json.dumps(
            {"entries": report.checked, "seconds": seconds, "cpu_seconds": cpu, "rss_mib": megabytes, "flaws": flaws}
        )
    )


def measured(path: Path) -> dict[str, object]:
    done = subprocess.run([sys.executable, __file__, "--verify", str(path)], capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verify", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.verify:
        asyncio.run(verify(chosen.verify))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.db"
        fill(path, chosen.entries)
        intact = measured(path)
        with sqlite3.connect(path) as database:
            database.execute("UPDATE limen_audit SET actor = 'x' WHERE seq = ?", [chosen.entries // 2])
        tampered = measured(path)
    met = not intact["flaws"] and len(tampered["flaws"]) == 1 and float(str(intact["seconds"])) < TARGET_SECONDS
    print(f"{intact['entries']} entries: {intact['seconds']:.1f} s, {intact['cpu_seconds']:.1f} s of CPU, ", end="")
    print(f"{intact['rss_mib']:.0f} MiB; one changed: {tampered['flaws']}; load {os.getloadavg()[0]:.1f}")
    if chosen.json:
        print(json.dumps({"intact": intact, "tampered": tampered, "target_met": met, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
