"""
Every blow at every moment of a session on real vLLM: `python -m soak.kills --cases 'stop-*,*@done'`.

A start takes 16 s, so cases share a session as far as one can bear them: it gives up at the fourth crash.
"""

from __future__ import annotations

import fnmatch
import functools
import http.client
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from soak.blows import OTHER_BLOWS
from soak.history import lost
from soak.page import Page
from soak.session import SoakError, SoakSession, Staging, Target, wait_for
from tests.engine.test_real_recovery import LONG, ask, say_hello

STEPS = ("start", "weights", "kv_cache", "ready")
STREAMING = "streaming"
MOMENTS = (*STEPS, STREAMING)
HANG_S = 15.0
# The core's end is noticed, its processes are ended, and a worker's threads come to their end.
SOME_SECONDS = 10.0
# Two cores that others use too are not as fast at one time as at another.
SLOWER = 1.5
# A write takes milliseconds: it is hit now and then.
TIMES = 10
TOLD_LINES = 12
GREETING = "Hello! I am the tiny model of LLM Hoster."
# The fourth death in twenty minutes is the last one, of vLLM as of the pages.
DEATHS_MAX = 3


@dataclass(frozen=True)
class Case:
    """`again` is a step of the start that follows a crash, and not of a first one."""

    blow: str
    target: Target
    moment: str
    again: bool = False

    @property
    def name(self) -> str:
        return f"{self.blow}-{self.target}@{'again-' if self.again else ''}{self.moment}"


class LeftoverError(SoakError):
    """All went well, and something has stayed."""


class Rig:
    """The session that is being hurt, and what it has borne."""

    def __init__(self, staging: Staging) -> None:
        self.staging = staging
        self.session: SoakSession | None = None
        self.own_start_s = 0.0
        self._crashes = 0
        self._page_deaths = 0
        self._processes = 0

    def fresh(self) -> SoakSession:
        """Start another session; it is starting."""
        self.end()
        self._crashes = self._page_deaths = self._processes = 0
        self.session = self.staging.start("--hang", str(HANG_S))
        self.session.wait_for_port()
        self.session.wait_for_new_vllm(None)
        return self.session

    def starting(self, step: str, target: Target) -> SoakSession:
        """Come to a step of a start that somebody has ordered."""
        if self.session is None or self._page_deaths == DEATHS_MAX or target in ("guard", "supervisor"):
            session = self.fresh()
        else:
            session, before = self.session, self.session.find("vllm")
            session.order("restart")
            self._crashes = 0
            session.wait_for_new_vllm(before)
        session.wait_for_step(step, target)
        return session

    def starting_first(self, step: str, target: Target) -> SoakSession:
        """As `starting`, where nothing has worked yet: a session that has served goes back to what has."""
        if self._processes:
            self.end()
        return self.starting(step, target)

    def serving(self, crashes: int = 0, page_deaths: int = 0) -> SoakSession:
        """Come to a session that serves and can bear so many more."""
        if self.session is None or self._page_deaths + page_deaths > DEATHS_MAX:
            self.fresh()
        assert self.session is not None  # noqa: S101 - just made
        if self.session.name_of_state() == "failed" or self._crashes + crashes > DEATHS_MAX:
            before = self.session.find("vllm")
            self.session.order("restart")
            self._crashes = 0
            self.session.wait_for_new_vllm(before)
        self.session.wait_until_ready()
        self._note_normal(self.session)
        self._crashes += crashes
        return self.session

    def note_page_death(self) -> None:
        self._page_deaths += 1

    def check_serving(self, session: SoakSession, restarts: int, waits_s: float) -> str:
        """It must be as before the blow, in time."""
        seconds = session.wait_until_ready(restarts)
        if self.own_start_s and seconds > (limit := self.own_start_s * SLOWER + SOME_SECONDS + waits_s):
            raise SoakError(f"it took {seconds:.0f} s to serve again, more than {limit:.0f} s")
        if (said := say_hello(session)) != GREETING:
            raise SoakError(f"it answers {said!r}")
        self._note_normal(session)
        wait_for(lambda: len(session.processes()) == self._processes, "as many processes as before", 10.0)
        return self.said(session, f"serves again after {seconds:.1f} s")

    def said(self, session: SoakSession, sentence: str) -> str:
        """A session that works is of use to the next case, whatever it has left."""
        if left := session.traces.shared_memory():
            raise LeftoverError(f"{sentence}, but leaves {', '.join(left)}")
        return sentence

    def end(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            check(session.end())

    def drop(self) -> None:
        """After a failed case: whatever lives is ended, so that the next case begins anew."""
        session, self.session = self.session, None
        if session is not None:
            session.kill()

    def last_words(self, error: Exception) -> str:
        """What the session's log says, where more has gone wrong than that something has stayed."""
        if self.session is None or isinstance(error, LeftoverError):
            return ""
        lines = self.session.output.read_text(errors="replace").splitlines()[-TOLD_LINES:]
        return "".join(f"\n        | {line}" for line in lines)

    def _note_normal(self, session: SoakSession) -> None:
        """The first start that nobody hurts shows how long it takes, and how many processes there are."""
        state = session.state()
        if state is not None and state.restarts == 0 and not self.own_start_s:
            self.own_start_s = sum(step.seconds or 0.0 for step in state.steps)
        if not self._processes:
            time.sleep(2.0)  # What helped with the start has ended by then.
            self._processes = len(session.processes())


def check(wrong: list[str]) -> None:
    if wrong:
        raise SoakError("; ".join(wrong))


# --- What must become of a session ---


def hurt_first_start(rig: Rig, case: Case) -> str:
    session = rig.starting_first(case.moment, case.target)
    restarts = session.restarts
    os.kill(session.pid_of(case.target), signal.SIGKILL)
    wait_for(lambda: session.name_of_state() == "failed" or session.restarts > restarts, "the failure", 30.0)
    if session.name_of_state() != "failed":
        return f"it was up a moment before: {rig.check_serving(session, restarts + 1, 0.0)}"
    cause = session.wait_for_failure()
    if not cause.endswith("."):
        raise SoakError(f"no sentence: {cause!r}")
    session.wait_for_pages()
    left = {word for word in ("bin/vllm", "VLLM::") for command in session.processes().values() if word in command}
    check([f"{word} still runs" for word in left])
    return rig.said(session, f"failed: {cause}")


def hurt_start_after_crash(rig: Rig, case: Case) -> str:
    session = rig.serving(crashes=2)
    restarts, before = session.restarts, session.pid_of("vllm")
    os.kill(before, signal.SIGKILL)
    session.wait_for_new_vllm(before)
    session.wait_for_step(case.moment, case.target)
    os.kill(session.pid_of(case.target), signal.SIGKILL)
    wait_for(lambda: session.restarts == restarts + 2, "the second restart", 30.0)
    return rig.check_serving(session, restarts + 2, waits_s=10.0)


def hurt_stream(rig: Rig, case: Case) -> str:
    session = rig.serving(crashes=1)
    restarts = session.restarts
    stream = ask(session, **LONG)
    next(stream)
    os.kill(session.pid_of(case.target), signal.SIGKILL if case.blow == "kill" else signal.SIGSTOP)
    waits_s = HANG_S * 1.5 if case.blow == "stop" else 0.0
    end = how_it_ends(stream)
    return f"{end}, {rig.check_serving(session, restarts + 1, 10.0 + waits_s)}"


def stop_start(rig: Rig, case: Case) -> str:
    """Nothing is known of a start that stands still; it may be slow. It goes on when it is let."""
    session = rig.starting(case.moment, case.target)
    restarts, pid = session.restarts, session.pid_of(case.target)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(HANG_S + 3.0)
        session.wait_for_pages()
        state = session.name_of_state()
    finally:
        os.kill(pid, signal.SIGCONT)
    return f"{state} meanwhile, {rig.check_serving(session, restarts + (state == 'degraded'), HANG_S)}"


def hurt_pages(rig: Rig, case: Case) -> str:
    if case.moment == STREAMING:
        session = rig.serving(page_deaths=case.target == "master")
        stream = ask(session, **LONG)
        next(stream)
    else:
        session, stream = rig.starting(case.moment, case.target), None
    if case.target == "master":
        rig.note_page_death()
    restarts, pid = session.restarts, session.pid_of(case.target)
    os.kill(pid, signal.SIGKILL)
    end = "" if stream is None else f"{how_it_ends(stream)}, "
    session.wait_for_another(case.target, pid)
    seconds = session.wait_for_pages()
    return f"{end}pages after {seconds:.1f} s, {rig.check_serving(session, restarts, 0.0)}"


def hurt_pages_when_done(rig: Rig, case: Case) -> str:
    """What the page has shown as done is on the disk, also when it dies in the same moment."""
    session = rig.serving()
    page = Page(session)
    for _ in range(TIMES):
        pid = session.pid_of("worker")
        page.chat("Say hello.", on_done=functools.partial(os.kill, pid, signal.SIGKILL))
        session.wait_for_another("worker", pid)
        session.wait_for_pages()
    check(lost(session.history, page.shown))
    return f"{len(page.shown)} replies that were shown as done are on the disk"


def hurt_guard(rig: Rig, case: Case) -> str:
    session = rig.fresh()
    if case.moment == STREAMING:
        session.wait_until_ready()
    else:
        session.wait_for_step(case.moment, case.target)
    stream = ask(session, max_tokens=300, ignore_eos=True, stream=True) if case.moment == STREAMING else None
    os.kill(session.pid_of("guard"), signal.SIGKILL)
    session.wait_until_ready()
    if stream is not None and "data: [DONE]" not in "".join(stream):
        raise SoakError("the stream was cut")
    said = say_hello(session)
    rig.end()
    return f"goes on ({said!r}) and ends in order"


def kill_supervisor(rig: Rig, case: Case) -> str:
    session = rig.fresh()
    if case.moment == STREAMING:
        session.wait_until_ready()
        stream = ask(session, **LONG)
        next(stream)
    else:
        session.wait_for_step(case.moment, case.target)
    began = time.monotonic()
    session.process.kill()
    session.process.wait()
    rig.session = None
    check(session.what_is_left())
    return f"everything has ended after {time.monotonic() - began:.1f} s"


def how_it_ends(stream: Iterator[str]) -> str:
    """What has come is kept, and nobody waits for ever; the rest of the stream may be an error, but no proper end."""
    try:
        lines = "".join(stream)
    except (OSError, http.client.HTTPException):
        return "the connection was cut"
    if "data: [DONE]" in lines and '"error"' not in lines:
        raise SoakError("the stream came to its end, as if nothing had happened")
    return "the stream ended with an error" if '"error"' in lines else "the stream was cut"


def all_cases() -> Iterator[tuple[str, Callable[[Rig], str]]]:
    """The order matters: each finds a session that it can use, as far as possible."""
    for how, case in session_cases():
        yield case.name, bind(how, case)
    for name, blow in OTHER_BLOWS.items():
        yield name, functools.partial(blow_from_outside, blow=blow)


def bind(how: Callable[[Rig, Case], str], case: Case) -> Callable[[Rig], str]:
    return lambda rig: how(rig, case)


def session_cases() -> Iterator[tuple[Callable[[Rig, Case], str], Case]]:
    engine: tuple[Target, ...] = ("vllm", "core")
    pages: tuple[Target, ...] = ("worker", "master")
    yield from ((hurt_stream, Case("kill", target, STREAMING)) for target in engine)
    yield from ((hurt_start_after_crash, Case("kill", target, step, True)) for target in engine for step in STEPS)
    yield from ((hurt_first_start, Case("kill", target, step)) for target in engine for step in STEPS)
    yield from ((stop_start, Case("stop", target, step)) for target in engine for step in STEPS)
    yield from ((hurt_stream, Case("stop", target, STREAMING)) for target in engine)
    yield from ((hurt_pages, Case("kill", target, moment)) for target in pages for moment in MOMENTS)
    yield hurt_pages_when_done, Case("kill", "worker", "done")
    yield from ((hurt_guard, Case("kill", "guard", moment)) for moment in MOMENTS)
    yield from ((kill_supervisor, Case("kill", "supervisor", moment)) for moment in MOMENTS)


def blow_from_outside(rig: Rig, blow: Callable[[Staging], str]) -> str:
    rig.end()
    return blow(rig.staging)


@contextmanager
def made_rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        rig = Rig(Staging(Path(name)))
        try:
            yield rig
        finally:
            rig.drop()


@click.command()
@click.option(
    "--cases", "patterns", default="*", show_default=True, help="Only those whose names match, with commas between."
)
@click.option("--list", "only_list", is_flag=True, help="Print the names and end.")
def kills(patterns: str, only_list: bool) -> None:
    """Hurt sessions in every way at every moment; each must serve again, or end and leave nothing behind."""
    chosen = [
        (name, run) for name, run in all_cases() if any(fnmatch.fnmatch(name, one) for one in patterns.split(","))
    ]
    if only_list or not chosen:
        click.echo("\n".join(name for name, _ in chosen) or f"No case matches {patterns!r}.")
        sys.exit(not chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # The sessions are ended, too.
    began, failed = time.monotonic(), []
    with made_rig() as rig:
        for name, run in [*chosen, ("the end of the last session", lambda rig: rig.end() or "nothing is left")]:
            started = time.monotonic()
            try:
                word, said = "ok", run(rig)
            except Exception as error:  # One failed case must not hide the others.
                word, said = "FAILED", f"{type(error).__name__}: {error}{rig.last_words(error)}"
                failed.append(name)
                if not isinstance(error, LeftoverError):
                    rig.drop()
            click.echo(f"{word:6}  {name:34} {time.monotonic() - started:5.0f} s  {said}")
    click.echo(f"{len(chosen)} cases in {(time.monotonic() - began) / 60:.0f} minutes, {len(failed)} failed.")
    click.echo("".join(f"  {name}\n" for name in failed), nl=False)
    sys.exit(bool(failed))


if __name__ == "__main__":
    kills()
