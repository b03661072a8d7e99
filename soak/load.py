"""
One session on real vLLM under mixed load, while at random moments something of it is killed: `python -m soak.load`.

Every request must be answered whole, but for those around a kill, and these must be told so. What the page has shown is
kept. In quiet moments the processes that were not killed have not grown.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from llm_hoster.engine.supervision.restart_policy import DELAYS_S
from llm_hoster.errors import EngineError
from soak.clients import Clients, Result
from soak.history import lost
from soak.page import Outcome
from soak.session import SoakError, SoakSession, Staging, Target

# "restart" is no kill: the page's button, after which vLLM may crash as often again.
Blow = Literal["vllm", "core", "worker", "master", "restart"]
BLOWS: tuple[Blow, ...] = ("vllm", "core", "worker", "master", "restart")
WEIGHED: tuple[Target, ...] = ("supervisor", "worker", "master")
PAGES: tuple[Literal["worker", "master"], ...] = ("worker", "master")
OUTCOMES: tuple[Outcome, ...] = ("whole", "refused", "cut", "broken", "wrong")
LOAD_S = 90.0
# gunicorn keeps an idle connection for 15 s, so that descriptors tell something only after that.
QUIET_S = 18.0
KILL_AFTER_S = (5.0, 60.0)
# A request that had begun a moment before is judged by its end; state.json and the pages need a moment to know.
AROUND_S = 1.0
WARM_UP_S = 40.0
# What a process may take more at the end than in its first quiet moment, in MB. The supervisor and gunicorn's master
# keep nothing of a request. The worker keeps the last 50 replies with their events, up to 2,000 events each, and each
# of its threads that was ever busy at once has a heap of its own.
GROWTH_MAX_MB = {"supervisor": 4.0, "master": 2.0, "worker": 32.0}
SUPERVISOR_MAX_MB = 60.0
# A look at vLLM's figures may be under way at the moment of counting.
DESCRIPTORS_MORE = 3


@dataclass
class Kill:
    """`until` is when everything serves again; times are those of time.monotonic."""

    blow: Blow
    at: float
    until: float = float("inf")

    def explains(self, result: Result) -> bool:
        """Only where the pages were killed may a connection break without a word; what runs outlives a restart."""
        if result.ended < self.at - AROUND_S or result.began > self.until + AROUND_S:
            return False
        borne = {"refused"} if self.blow == "restart" else {"refused", "cut"}
        return result.outcome in borne | ({"broken"} if self.blow in PAGES else set())


@dataclass(frozen=True)
class Weight:
    role: Target
    pss_mb: float
    descriptors: int


class Soak:
    def __init__(self, session: SoakSession, seed: int) -> None:
        self.session = session
        self.clients = Clients(session, seed)
        self.kills: list[Kill] = []
        self.quiet: dict[int, list[Weight]] = {}
        self.violations: list[str] = []
        self.began = time.monotonic()
        self._dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._deck: list[Blow] = []
        self._deaths = {"vLLM": 0, "master": 0}

    def run(self, minutes: float) -> None:
        end = self.began + 60 * minutes
        self._load(self.began + WARM_UP_S)
        self._rest()
        while time.monotonic() < end - QUIET_S:
            self._load(min(time.monotonic() + LOAD_S, end - QUIET_S), is_hurting=True)
            self._rest()
        self.clients.end()

    def _load(self, until: float, *, is_hurting: bool = False) -> None:
        self.clients.go_on()
        while is_hurting and (at := time.monotonic() + self._dice.uniform(*KILL_AFTER_S)) < until:
            time.sleep(at - time.monotonic())
            self._kill(self._next_blow())
        time.sleep(max(0.0, until - time.monotonic()))

    def _next_blow(self) -> Blow:
        """Each in turn, in any order, and none so often that the session gives up, which it is meant to do."""
        while True:
            if not self._deck:
                self._deck = self._dice.sample(("vllm", "core", "worker", "master"), 4)
            blow = self._deck.pop()
            deaths = self._deaths["master" if blow == "master" else "vLLM"]
            if blow == "worker" or deaths < len(DELAYS_S):
                return blow
            if blow != "master":
                return "restart"

    def _kill(self, blow: Blow) -> None:
        session = self.session
        restarts, pid = session.restarts, session.pid_of("vllm" if blow == "restart" else blow)
        kill = Kill(blow, time.monotonic())
        self.kills.append(kill)
        try:
            if blow == "restart":
                session.order("restart")
                self._deaths["vLLM"] = 0
            else:
                os.kill(pid, signal.SIGKILL)
                self._deaths["master" if blow == "master" else "vLLM"] += blow != "worker"
            if blow in PAGES:
                session.wait_for_another(blow, pid)
                session.wait_for_pages()
            else:
                session.wait_until_ready(restarts + 1)
        except (SoakError, EngineError) as error:
            self.violations.append(f"after {blow}: {error}")
        kill.until = time.monotonic()
        did = "restarted by order" if blow == "restart" else f"killed {blow}"
        click.echo(f"{self._clock()}  {did}, serving again after {kill.until - kill.at:.1f} s")

    def _rest(self) -> None:
        self.clients.pause()
        time.sleep(QUIET_S)
        for role in WEIGHED:
            pid = self.session.pid_of(role)
            self.quiet.setdefault(pid, []).append(weigh(role, pid))
        self.violations += [sentence for sentence in self.lost() if sentence not in self.violations]
        click.echo(f"{self._clock()}  quiet: " + ", ".join(map(_weight_in_words, self._last_weights())))

    def _last_weights(self) -> list[Weight]:
        return [self.quiet[self.session.pid_of(role)][-1] for role in WEIGHED]

    def _clock(self) -> str:
        return f"{(time.monotonic() - self.began) / 60:5.1f} min"

    def tell_each_minute(self) -> None:
        while True:
            time.sleep(60.0)
            count = Counter(result.outcome for result in list(self.clients.results))
            told = ", ".join(f"{count[outcome]} {outcome}" for outcome in OUTCOMES if count[outcome])
            click.echo(f"{self._clock()}  {told}; {len(self.kills)} kills, {len(self.clients.shown)} replies shown")

    # --- What is wrong ---

    def lost(self) -> list[str]:
        return [f"in the history: {sentence}" for sentence in lost(self.session.history, self.clients.shown)]

    def unexplained(self) -> list[str]:
        return [
            f"{result.client}, {(result.began - self.began) / 60:.2f} to {(result.ended - self.began) / 60:.2f} min: "
            f"{result.outcome}: {result.detail}"
            for result in self.clients.results
            if result.outcome != "whole" and not any(kill.explains(result) for kill in self.kills)
        ]

    def grown(self) -> list[str]:
        found = []
        for pid, weights in self.quiet.items():
            first, last = weights[0], weights[-1]
            if last.pss_mb - first.pss_mb > GROWTH_MAX_MB[first.role]:
                found.append(f"{first.role} {pid} grew from {first.pss_mb:.1f} to {last.pss_mb:.1f} MB")
            if last.descriptors > first.descriptors + DESCRIPTORS_MORE:
                found.append(f"{first.role} {pid} had {first.descriptors} descriptors, then {last.descriptors}")
            if first.role == "supervisor" and last.pss_mb > SUPERVISOR_MAX_MB:
                found.append(f"the supervisor has {last.pss_mb:.1f} MB, more than {SUPERVISOR_MAX_MB:.0f}")
        return found


def weigh(role: Target, pid: int) -> Weight:
    pss = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert pss is not None  # noqa: S101 - every Linux has it
    return Weight(role, int(pss[1]) * 1024 / 1e6, len(os.listdir(f"/proc/{pid}/fd")))


def _weight_in_words(weight: Weight) -> str:
    return f"{weight.role} {weight.pss_mb:.1f} MB, {weight.descriptors} descriptors"


def print_summary(soak: Soak, seed: int) -> None:
    print_requests(soak.clients.results)
    print_kills(soak.kills)
    click.echo("".join(f"\nVIOLATION {sentence}" for sentence in soak.violations))
    click.echo(json.dumps(summary_of(soak, seed)))


def print_requests(results: Sequence[Result]) -> None:
    click.echo(f"\n{'':10}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES) + f"{'median s':>10}")
    for client in sorted({result.client for result in results}):
        own = [result for result in results if result.client == client]
        count = Counter(result.outcome for result in own)
        seconds = [result.ended - result.began for result in own if result.outcome == "whole"]
        median_s = statistics.median(seconds or [0.0])
        click.echo(f"{client:10}" + "".join(f"{count[outcome]:9d}" for outcome in OUTCOMES) + f"{median_s:10.3f}")


def print_kills(kills: Sequence[Kill]) -> None:
    click.echo(f"\n{'killed':10}{'times':>9}{'away, s':>17}")
    for blow in BLOWS:
        away = [kill.until - kill.at for kill in kills if kill.blow == blow]
        if away:
            click.echo(f"{blow:10}{len(away):9d}{f'{min(away):.1f} to {max(away):.1f}':>17}")


def summary_of(soak: Soak, seed: int) -> dict[str, float]:
    results = soak.clients.results
    count = Counter(result.outcome for result in results)
    of_supervisor = next(weights for weights in soak.quiet.values() if weights[0].role == "supervisor")
    return {
        "minutes": round((time.monotonic() - soak.began) / 60, 1),
        "seed": seed,
        "requests": len(results),
        **{outcome: count[outcome] for outcome in OUTCOMES},
        "kills": len(soak.kills),
        "replies_shown": len(soak.clients.shown),
        "supervisor_mb": round(of_supervisor[-1].pss_mb, 1),
        "supervisor_growth_mb": round(of_supervisor[-1].pss_mb - of_supervisor[0].pss_mb, 2),
        "violations": len(soak.violations),
    }


@click.command()
@click.option("--minutes", type=click.FloatRange(min=2), default=30, show_default=True)
@click.option("--seed", type=int, help="Repeat what a former run has printed.")
def load(minutes: float, seed: int | None) -> None:
    """Use one session in all ways while parts of it are killed; nothing may be lost, and nothing may grow."""
    seed = random.SystemRandom().randrange(10_000) if seed is None else seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # The session is ended, too.
    click.echo(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        session = Staging(Path(name)).start()
        try:
            session.wait_for_port()
            session.wait_until_ready()
            soak = Soak(session, seed)
            threading.Thread(target=soak.tell_each_minute, daemon=True).start()
            soak.run(minutes)
            soak.violations += soak.unexplained() + soak.grown()
            soak.violations += [f"at the end: {sentence}" for sentence in session.end()]
            soak.violations += [sentence for sentence in soak.lost() if sentence not in soak.violations]
            print_summary(soak, seed)
        finally:
            session.kill()
    sys.exit(bool(soak.violations))


if __name__ == "__main__":
    load()
