"""LoRA adapters while vLLM serves: the owner asks, a thread looks into the folder and loads, the pages learn of it."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from llm_hoster.engine.record.job_log import say
from llm_hoster.engine.record.state import SERVING, AdapterLook
from llm_hoster.engine.run.engine_run import EngineRun
from llm_hoster.engine.run.plan import AdapterFolder
from llm_hoster.engine.supervision.journal import Journal
from llm_hoster.engine.supervision.service import Service
from llm_hoster.engine.vllm.adapter_loading import Change, LoadedAdapters
from llm_hoster.errors import EngineError, LLMHosterError


class Adapters:
    """Owned by the supervisor's thread; the thread of a look only leaves its change behind."""

    def __init__(self, service: Service, journal: Journal, socket_path: Path, notify: Callable[[], None]) -> None:
        self.look: AdapterLook | None = None
        self._service = service
        self._journal = journal
        self._socket_path = socket_path
        self._notify = notify
        # What each run of vLLM has is known from its start on, and forgotten with it.
        self._run: EngineRun | None = None
        self._loaded: LoadedAdapters | None = None
        self._change: Change | None = None

    @property
    def names(self) -> tuple[str, ...] | None:
        """None where the session has no folder of adapters."""
        folder = self._service.plan.adapters
        return None if folder is None else tuple(adapter.name for adapter in folder.served)

    def look_again(self) -> None:
        """Begin; raise EngineError with the sentence that refuses it."""
        folder = self._service.plan.adapters
        if folder is None:
            raise EngineError(
                "This session has no folder of LoRA adapters. Name one in the form, under More, at the next launch."
            )
        if self._journal.state not in SERVING:
            raise EngineError("The engine does not serve now. Look again when it is ready.")
        if self._is_looking:
            raise EngineError("The adapters are being looked for already.")
        if self._loaded is None or self._run is not self._service.run:
            self._loaded = LoadedAdapters(self._socket_path, folder.served, folder.rank_max)
            self._run = self._service.run
        self._change = None
        self.look = AdapterLook(time.time())
        threading.Thread(target=self._follow, args=(folder, self._loaded), name="adapters", daemon=True).start()

    def take_change(self) -> bool:
        """Take over what the thread has done by now; say whether the pages should be told."""
        if self.look is None or self.look.ended_at is not None:
            return False
        if self._run is not self._service.run or self._journal.state not in SERVING:
            # What starts next loads what was served before.
            self._end("The engine has ended meanwhile. Look again when it is ready.", is_whole=False)
            return True
        change = self._change
        if change is None:
            return False
        self._service.take_adapters(change.served)
        self._end(change.sentence, is_whole=not change.faults)
        return True

    @property
    def _is_looking(self) -> bool:
        is_open = self.look is not None and self.look.ended_at is None
        return is_open and self._run is self._service.run

    def _end(self, sentence: str, *, is_whole: bool) -> None:
        assert self.look is not None  # noqa: S101 - only what began can end
        self.look = replace(self.look, ended_at=time.time(), sentence=sentence, is_whole=is_whole)
        say("adapters", sentence)
        self._journal.note(f"LoRA adapters were looked for. {sentence}")

    def _follow(self, folder: AdapterFolder, loaded: LoadedAdapters) -> None:
        """In a thread: a file system may be slow, and vLLM takes seconds for a large adapter."""
        try:
            change = loaded.follow(folder.look())
        except LLMHosterError as error:
            change = Change(loaded.served, faults=[str(error)])
        except Exception as error:
            traceback.print_exc()
            change = Change(
                loaded.served, faults=[f"It ended with an error that nobody expected ({type(error).__name__})."]
            )
        if loaded is self._loaded:
            self._change = change
        self._notify()
