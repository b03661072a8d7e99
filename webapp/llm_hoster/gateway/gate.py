"""All that stands before the endpoint: the keys, the wrong ones that came, and who is let in."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_hoster.api_keys.key_ring import KeyRing
from llm_hoster.gateway.admission import Admission
from llm_hoster.gateway.guesses import Guesses
from llm_hoster.gateway.spending import EarlierSpending
from llm_hoster.settings import WebSettings
from llm_hoster.usage.record import RequestRecord
from llm_hoster.usage.recorder import Recorder


@dataclass(frozen=True)
class Gate:
    """One for the whole app."""

    ring: KeyRing
    admission: Admission
    guesses: Guesses = field(default_factory=Guesses)


def make_gate(settings: WebSettings, recorder: Recorder) -> Gate:
    """Let each answer that is recorded count for the limits of its key."""
    admission = Admission(EarlierSpending(settings))

    def charge(record: RequestRecord) -> None:
        if record.key_id:
            admission.charge(record.key_id, record.prompt_tokens + record.completion_tokens)

    recorder.listeners.append(charge)
    return Gate(KeyRing(settings.data_dir, settings.api_key), admission)
