"""Fit and cost of a launch before it is one, in the words of the form's preview (launch/preview/panel.js)."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from llm_hoster.catalogue.choice import place_title
from llm_hoster.catalogue.compiled import Allocation, Verdict
from llm_hoster.catalogue.price import OVERLAP_MINUTES, minutes_text, share_text, su_text
from llm_hoster.catalogue.sentences import replicas_text
from llm_hoster.session import Session

UNCOUNTED_LORA = "The adapters of the LoRA folder take memory that is not counted here."
TIGHT = " Expect short conversations, or few people at once."


def summary(session: Session, typed_fit: str = "") -> list[tuple[str, str]]:
    """Give titles and texts; `typed_fit` is what is known of a model that the person typed."""
    facts = [_fit(session, typed_fit)]
    if session.gpu_type.note:
        facts.append(("GPU type", session.gpu_type.note))
    if session.verdict is not None:
        facts += _verdict_facts(session, session.verdict)
    facts += [("Price", price_text(session)), ("Runs in", _queue_text(session))]
    return facts


def _fit(session: Session, typed_fit: str) -> tuple[str, str]:
    place = place_title(session.catalogue, (session.gpu_type.name, str(session.num_gpus)))
    if session.verdict is None:
        return "Model", f"{session.model.source} on {place}. {typed_fit}"
    text = f"{session.model.title} on {place}."
    return ("Tight", text + TIGHT) if session.verdict.tight else ("Fits", text)


def _verdict_facts(session: Session, verdict: Verdict) -> Iterator[tuple[str, str]]:
    if verdict.weights_gib:
        each = "" if session.num_gpus == 1 else " on each GPU"
        yield (
            "Memory",
            f"{verdict.weights_gib:.1f} GiB weights, {verdict.overhead_gib:.1f} GiB working memory, "
            f"{verdict.kv_cache_gib:.1f} GiB room for conversations, of {session.gpu_type.memory_gib:g} GiB{each}",
        )
    if session.lora_folder:
        yield "LoRA", UNCOUNTED_LORA
    if verdict.replicas > 1:
        yield "Replicas", replicas_text(verdict.replicas, session.num_gpus)
    if verdict.max_model_len:
        yield "Context", _context_text(session, verdict)


def _context_text(session: Session, verdict: Verdict) -> str:
    longest, wanted = verdict.max_model_len, session.context_length
    if not verdict.people:
        return f"up to {longest} tokens"
    if wanted is None:
        return f"up to {longest} tokens, for {_people_text(verdict.people[-1])}"
    place = -1 if wanted == longest else session.catalogue.context_lengths.index(wanted)
    return f"{wanted} tokens, for {_people_text(verdict.people[place])}; up to {longest} would fit"


def price_text(session: Session) -> str:
    rate, hours = session.qos.su_per_hour, session.hours * session.chain_length
    text = f"{su_text(rate)} SU an hour, {su_text(rate, hours)} SU for {_time_text(session)}"
    allocation = _allocation(session)
    if allocation is None:
        return text
    share = share_text(rate * hours, allocation.su)
    return f"{text}; {share} of the account's {allocation.su:g} SU per {allocation.period}"


def _time_text(session: Session) -> str:
    """Of sessions in a row, each loads while the one before still serves: that time is paid twice."""
    hours, chain = _hours_text(session.hours), session.chain_length
    if chain == 1:
        return hours
    minutes = OVERLAP_MINUTES * (chain - 1)
    su = minutes_text(session.qos.su_per_hour, minutes)
    return f"{chain} x {hours}, of which at least {minutes} minutes ({su} SU) overlap"


def _allocation(session: Session) -> Allocation | None:
    """Find the first whose pattern is the account's; where none is named, nobody here knows which one Slurm takes."""
    account = session.values.account
    allocations = session.catalogue.site.allocations if account else []
    return next((each for each in allocations if fnmatch.fnmatchcase(account, each.accounts)), None)


def _queue_text(session: Session) -> str:
    qos = f", QoS {session.qos.name}" if session.qos.name else ""
    account = f", account {session.values.account}" if session.values.account else ""
    return f"partition {session.offer.partition}{qos}, up to {_hours_text(session.qos.max_hours)}{account}"


def _hours_text(hours: int) -> str:
    return "1 hour" if hours == 1 else f"{hours} hours"


def _people_text(people: int) -> str:
    return "1 person at once" if people == 1 else f"{people} people at once"
