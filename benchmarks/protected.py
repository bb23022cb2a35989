"""What a guarded request costs: limen beside nothing at all and beside the peers, by turns in one run.

    python3 dev.py bench protected [--json FILE] [--short] [--only NAME …]

One uvicorn worker of each app (Node for better-auth), pinned to one core; the load generator, 16 connections over
loopback, on the other. Turn by turn each is asked for a moment, in another order every round. CPU is what the worker's
process used for one request, from the kernel's count. The ratio is what the same request to the same route costs in an
app without auth, in the same round, over that: what else the machine does falls on both. 0.95 is 5 % more CPU than
nothing at all.

`--short` measures limen alone, in under a minute, and fails only when a figure is absurd (half of its target).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx2
from _cluster import machine
from _load import cpu_microseconds, load, request
from _peers import BASES, LIMEN, LIMEN_ROUTER, LOAD_CORE, NOTHING, PEERS, App, Running, install

TARGETS = {
    "limen_jwt": 0.95,
    "limen_principal": 0.95,
    "limen_cookie": 0.94,
    "limen_api_key": 0.94,
    "limen_dependency": 0.80,
}
TIMES = {  # limen_jwt over a peer: at least
    "fastapi_users_jwt": 12.0,
    "authx_jwt": 3.8,
    "fullauth_claims": 4.0,
    "handwritten_jwt": 2.0,
    "better_auth_cookie_cache": 4.0,
    "better_auth_server_cookie_cache": 2.6,
}
USER_TIMES = 3.0  # limen_user over fastapi_users_jwt


class Figures:
    """What was measured of one case, a figure a round."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.rate: list[float] = []


def main() -> int:
    arguments = _arguments()
    apps = [NOTHING, LIMEN, LIMEN_ROUTER]
    if not arguments.short:
        apps += [app for app in PEERS if not arguments.only or app.name in arguments.only]
    apps = [app for app in apps if _is_installed(app)]
    rounds, seconds = (12, 0.25) if arguments.short else (arguments.rounds, arguments.seconds)
    os.sched_setaffinity(0, {LOAD_CORE})
    with ExitStack() as stack:
        running = [each for app in apps if (each := _started(app, stack)) is not None]
        figures = measure(running, rounds=rounds, seconds=seconds)
    ratios = {name: _ratio(each, figures[BASES.get(name, "nothing")]) for name, each in figures.items()}
    print(table(figures, ratios))
    verdicts = judge(ratios)
    print("\n".join(f"{'met   ' if met else 'MISSED'}  {sentence}" for sentence, met, _ in verdicts))
    if arguments.json is not None:
        document = _document(apps, figures, ratios, verdicts)
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(document, indent=1))
        print(json.dumps(document))
    return int(arguments.short and any(absurd for _, _, absurd in verdicts))


def measure(running: Sequence[Running], *, rounds: int, seconds: float) -> dict[str, Figures]:
    """Ask every case in turn, each round in another order."""
    cases = [(name, each, request(*case)) for each in running for name, case in each.cases.items()]
    figures = {name: Figures() for name, _, _ in cases}
    for _, each, message in cases:
        load(each.port, message, seconds=0.5)  # warm
    for turn in range(rounds):
        start = turn % len(cases)
        for name, each, message in cases[start:] + cases[:start]:
            before = cpu_microseconds([each.pid])
            answered = load(each.port, message, seconds=seconds)
            if not answered:
                raise RuntimeError(f"{name} answered nothing in {seconds} s")
            figures[name].cpu.append((cpu_microseconds([each.pid]) - before) / answered)
            figures[name].rate.append(answered / seconds)
    return figures


def judge(ratios: Mapping[str, float]) -> list[tuple[str, bool, bool]]:
    """Each target with what came of it: whether it is met, whether it is missed by a factor of two."""
    found = [
        (f"{name} ≥ {target} of nothing at all: {ratios[name]:.3f}", ratios[name] / target)
        for name, target in TARGETS.items()
        if name in ratios
    ]
    for name, target in TIMES.items():
        if name in ratios:
            times = ratios["limen_jwt"] / ratios[name]
            found.append((f"limen_jwt ≥ {target} x {name}: {times:.1f}", times / target))
    if "fastapi_users_jwt" in ratios:
        times = ratios["limen_user"] / ratios["fastapi_users_jwt"]
        found.append((f"limen_user ≥ {USER_TIMES} x fastapi_users_jwt: {times:.1f}", times / USER_TIMES))
    return [(sentence, reached >= 0.97, reached < 0.5) for sentence, reached in found]


def table(figures: Mapping[str, Figures], ratios: Mapping[str, float]) -> str:
    """One line for each case, the cheapest first."""
    lines = [f"{'':34}{'CPU µs':>8} {'quartiles':>15} {'req/s':>8} {'ratio':>7}"]
    for name in sorted(figures, key=lambda name: -ratios[name]):
        low, middle, high = statistics.quantiles(figures[name].cpu, n=4)
        quartiles = f"{low:.1f}-{high:.1f}"
        rate = statistics.median(figures[name].rate)
        lines.append(f"{name:34}{middle:8.1f} {quartiles:>15} {rate:8.0f} {ratios[name]:7.3f}")
    return "\n".join(lines)


def _ratio(figures: Figures, base: Figures) -> float:
    return statistics.median(other / own for own, other in zip(figures.cpu, base.cpu, strict=True))


def _document(
    apps: Sequence[App],
    figures: Mapping[str, Figures],
    ratios: Mapping[str, float],
    verdicts: Sequence[tuple[str, bool, bool]],
) -> dict[str, object]:
    return {
        "ratios": {name: round(ratio, 4) for name, ratio in ratios.items()},
        "cpu_microseconds": {name: round(statistics.median(each.cpu), 2) for name, each in figures.items()},
        "requests_per_second": {name: round(statistics.median(each.rate)) for name, each in figures.items()},
        "targets": {sentence: met for sentence, met, _ in verdicts},
        "versions": {app.name: app.versions() for app in apps},
        "machine": machine(),
    }


def _is_installed(app: App) -> bool:
    try:
        install(app)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"left out: {app.name} cannot be installed here ({error})", file=sys.stderr)
        return False
    return True


def _started(app: App, stack: ExitStack) -> Running | None:
    """The running app; a peer that does not start, or lets nobody sign in, is left out and said to be."""
    try:
        return stack.enter_context(Running(app))
    except (RuntimeError, httpx2.HTTPError) as error:
        if not app.packages:
            raise
        print(f"left out: {app.name} does not work here ({error})", file=sys.stderr)
        return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure guarded requests beside unguarded ones and beside peers.")
    parser.add_argument("--json", nargs="?", const="", metavar="FILE", help="end with one JSON object, and keep it")
    parser.add_argument("--short", action="store_true", help="limen alone, in under a minute")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[app.name for app in PEERS], help="these peers")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each case in each round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
