"""Batches in a running session, with a small engine that does what a test needs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
import requests

from llm_hoster.api_keys.api_key import Limits
from llm_hoster.batches.line import PRIORITY
from llm_hoster.batches.pace import BESIDE_OTHERS
from llm_hoster.engine.record.state import ServedModel, write_state
from tests.batches.batch_engine import BatchEngine
from tests.batches.conftest import (
    LightServer,
    MakeClient,
    MakeServer,
    answers,
    chat_lines,
    start_batch,
    wait_for_end,
    worker_of,
)
from tests.live_engine import wait_for
from tests.usage.records import audit_lines
from tests.web_session import API_KEY, ready_state

# The runner begins when it is first asked, so that the engine is there before it.
pytestmark = pytest.mark.usefixtures("engine")


def test_answers_and_refusals_come_in_two_files(client: openai.OpenAI) -> None:
    batch = wait_for_end(client, start_batch(client, chat_lines("one", "refuse two", "three")))

    assert (batch.status, batch.model, batch.errors) == ("completed", "tiny", None)
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 3, "completed": 2, "failed": 1}
    good, bad = answers(client, batch.output_file_id), answers(client, batch.error_file_id)
    assert good.keys() == {"one", "three"} and bad.keys() == {"refuse two"}
    response = good["one"]["response"]
    assert response["status_code"] == 200 and response["request_id"] and good["one"]["error"] is None
    assert response["body"]["choices"][0]["message"]["content"] == "answer to one"
    assert bad["refuse two"]["response"]["status_code"] == 400
    assert bad["refuse two"]["response"]["body"]["error"]["message"] == "no"


def test_lines_are_asked_behind_everybody_and_never_as_streams(client: openai.OpenAI, engine: BatchEngine) -> None:
    content = chat_lines("one", stream=True, stream_options={"include_usage": True}, priority=-5, temperature=0)
    wait_for_end(client, start_batch(client, content))

    (body,) = engine.bodies
    assert body.pop("priority") == PRIORITY
    assert body == {"model": "tiny", "messages": [{"role": "user", "content": "one"}], "temperature": 0}


def test_the_audit_log_has_the_lines_where_the_site_wants_it(
    make_light_server: Callable[..., LightServer], make_openai: MakeClient
) -> None:
    server = make_light_server(audit_prompts=True)
    client = make_openai(server)
    wait_for_end(client, start_batch(client, chat_lines("gooseberry")))

    prompts = [line["prompt"] for line in audit_lines(server.settings) if line["prompt"]]
    assert prompts == ['{"messages": [{"role": "user", "content": "gooseberry"}]}']


def test_an_input_that_is_no_good_fails_with_its_lines(client: openai.OpenAI, engine: BatchEngine) -> None:
    content = chat_lines("one") + b"{\n" + chat_lines("two", model="nope")
    batch = wait_for_end(client, start_batch(client, content))

    assert batch.status == "failed" and batch.errors is not None
    assert [(fault.code, fault.line) for fault in batch.errors.data or []] == [
        ("invalid_json_line", 2),
        ("model_not_found", 3),
    ]
    assert engine.asked == []


def test_what_the_gateway_refuses_is_refused_in_a_batch(client: openai.OpenAI, engine: BatchEngine) -> None:
    picture = [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/metadata"}}]
    content = chat_lines("many", n=1000) + chat_lines("picture", extra=1).replace(
        b'"content": "picture"', b'"content": ' + str(picture).replace("'", '"').encode()
    )
    batch = wait_for_end(client, start_batch(client, content))

    bodies = {name: line["response"]["body"] for name, line in answers(client, batch.error_file_id).items()}
    assert {name: body["error"]["code"] for name, body in bodies.items()} == {
        "many": "too_many_answers",
        "picture": "media_not_allowed",
    }
    assert engine.asked == []


def test_cancelling_aborts_at_once_and_keeps_what_was_answered(client: openai.OpenAI, engine: BatchEngine) -> None:
    batch = start_batch(client, chat_lines("one", "hold two", "hold three"))
    wait_for(lambda: client.batches.retrieve(batch.id).request_counts.completed == 1, "one is answered")  # type: ignore[union-attr]

    assert client.batches.cancel(batch.id).status == "cancelling"
    wait_for(lambda: sorted(engine.aborted) == ["hold three", "hold two"], "both are aborted", timeout_s=2)
    batch = wait_for_end(client, batch)

    assert batch.status == "cancelled" and batch.cancelling_at and batch.cancelled_at
    assert answers(client, batch.output_file_id).keys() == {"one"}
    assert batch.error_file_id is None


def test_an_engine_that_is_busy_is_asked_again(client: openai.OpenAI, engine: BatchEngine) -> None:
    engine.busy = 3
    batch = wait_for_end(client, start_batch(client, chat_lines("one", "two")))

    assert answers(client, batch.output_file_id).keys() == {"one", "two"}
    assert sorted(engine.asked) == ["one", "two"]


def test_a_line_over_which_the_engine_dies_is_given_up(client: openai.OpenAI, engine: BatchEngine) -> None:
    batch = wait_for_end(client, start_batch(client, chat_lines("one", "die two", "three")))

    assert answers(client, batch.output_file_id).keys() == {"one", "three"}
    (line,) = answers(client, batch.error_file_id).values()
    assert line["response"] is None and line["error"]["code"] == "engine_ended"
    assert engine.times_asked("die two") == 2


def test_a_line_whose_answer_is_garbled_is_asked_again(client: openai.OpenAI, engine: BatchEngine) -> None:
    batch = wait_for_end(client, start_batch(client, chat_lines("garble")))

    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 0)
    assert engine.times_asked("garble") == 2


def test_a_batch_waits_while_the_model_is_changed(
    client: openai.OpenAI, server: LightServer, engine: BatchEngine
) -> None:
    batch = start_batch(client, chat_lines("hold one", "hold two"))
    wait_for(lambda: engine.in_flight == 2, "both are asked")

    write_state(server.settings.state_path, ready_state(state="switching"))
    wait_for(lambda: len(engine.aborted) == 2, "nobody waits for them")
    engine.go_on.set()
    engine.models = ["other"]
    write_state(server.settings.state_path, ready_state(since=2.0, model=ServedModel("other", "Other model")))
    wait_for(lambda: client.batches.retrieve(batch.id).errors is not None, "it says what it waits for")
    waiting = client.batches.retrieve(batch.id)
    engine.models = ["tiny"]
    write_state(server.settings.state_path, ready_state(since=3.0))

    assert waiting.status == "in_progress" and waiting.errors is not None
    assert [fault.code for fault in waiting.errors.data or []] == ["model_not_served"]
    batch = wait_for_end(client, batch)
    assert answers(client, batch.output_file_id).keys() == {"hold one", "hold two"}


def test_few_lines_are_asked_beside_others_and_none_where_these_wait(
    client: openai.OpenAI, engine: BatchEngine
) -> None:
    engine.others, engine.others_waiting = 8, 2
    batch = start_batch(client, chat_lines(*(f"hold {number}" for number in range(40))))
    wait_for(lambda: client.batches.retrieve(batch.id).status == "in_progress", "it has begun")
    wait_for(lambda: engine.in_flight <= BESIDE_OTHERS, "few are asked")
    held_back = engine.in_flight_max
    engine.others_waiting = 0
    wait_for(lambda: engine.in_flight == BESIDE_OTHERS, "a few more are asked")
    beside = engine.in_flight_max
    engine.others = 0
    wait_for(lambda: engine.in_flight > 4 * BESIDE_OTHERS, "many are asked")
    engine.go_on.set()

    assert held_back <= BESIDE_OTHERS and beside == BESIDE_OTHERS
    assert wait_for_end(client, batch).request_counts.completed == 40  # type: ignore[union-attr]


def test_two_batches_are_answered_in_turn(client: openai.OpenAI, engine: BatchEngine) -> None:
    large = start_batch(client, chat_lines(*(f"hold {number}" for number in range(200))))
    wait_for(lambda: engine.in_flight > 0, "the first is asked")
    small = start_batch(client, chat_lines("small"))
    wait_for(lambda: engine.times_asked("small") == 1, "the second is asked beside it")
    unfinished = client.batches.retrieve(large.id)
    engine.go_on.set()

    assert unfinished.request_counts is not None and unfinished.request_counts.completed == 0
    assert [wait_for_end(client, batch).status for batch in (small, large)] == ["completed"] * 2
    assert [batch.id for batch in client.batches.list(limit=1)] == [small.id, large.id]


def test_a_full_disk_holds_a_batch_up_until_there_is_room(
    make_server: MakeServer, make_openai: MakeClient, engine: BatchEngine
) -> None:
    """The second answer fits only in part: what was begun of it must not be in the way of the rest."""
    server = make_server()
    client = make_openai(server)
    batch = start_batch(client, chat_lines(*(f"hold {name} {'x' * 400}" for name in "ab")))
    wait_for(lambda: engine.in_flight == 2, "both are asked")
    worker = worker_of(server)
    limits = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (1500, limits[1]))
    engine.go_on.set()
    wait_for(lambda: client.batches.retrieve(batch.id).errors is not None, "it says so")
    held_up = client.batches.retrieve(batch.id)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)
    batch = wait_for_end(client, batch)

    assert held_up.status == "in_progress" and held_up.errors is not None
    assert [fault.code for fault in held_up.errors.data or []] == ["not_saved"]
    assert len(answers(client, batch.output_file_id)) == 2
    assert batch.errors is None and len(engine.asked) == 2


def test_each_key_has_its_own(
    server: LightServer, client: openai.OpenAI, make_openai: MakeClient, new_key: Callable[..., str]
) -> None:
    ada, bob = make_openai(server, new_key("ada")), make_openai(server, new_key("bob"))
    batch = wait_for_end(ada, start_batch(ada, chat_lines("one")))
    file_ids = [batch.input_file_id, str(batch.output_file_id)]

    assert [each.id for each in bob.batches.list()] == [] == [each.id for each in bob.files.list()]
    for ask in (bob.batches.retrieve, bob.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            ask(batch.id)
    for file_id in file_ids:
        for ask_file in (bob.files.retrieve, bob.files.content, bob.files.delete):
            with pytest.raises(openai.NotFoundError):
                ask_file(file_id)
    with pytest.raises(openai.NotFoundError):
        bob.batches.create(input_file_id=file_ids[0], endpoint="/v1/completions", completion_window="24h")
    assert {each.id for each in client.files.list()} == set(file_ids)  # The owner looks after all of them.


def test_the_limits_of_a_key_hold_for_its_batches(
    server: LightServer, make_openai: MakeClient, new_key: Callable[..., str], engine: BatchEngine
) -> None:
    limited = make_openai(server, new_key("ada", limits=Limits(total_tokens=8)))
    other = make_openai(server, new_key("bob", models=("other",)))
    spent = wait_for_end(limited, start_batch(limited, chat_lines(*(f"{number}" for number in range(30)))))
    refused = wait_for_end(other, start_batch(other, chat_lines("bob's")))

    errors = [line["response"]["body"]["error"]["code"] for line in answers(limited, spent.error_file_id).values()]
    assert set(errors) == {"insufficient_quota"} and 1 <= len(engine.asked) == 30 - len(errors) <= 12
    assert refused.status == "failed" and refused.errors is not None
    assert [fault.code for fault in refused.errors.data or []] == ["model_not_found"]


def test_a_key_that_ends_takes_its_batch_with_it(
    server: LightServer,
    client: openai.OpenAI,
    make_openai: MakeClient,
    new_key: Callable[..., str],
    engine: BatchEngine,
) -> None:
    guest = make_openai(server, new_key("eve", expires_at=time.time() + 5))
    batch = start_batch(guest, chat_lines("one", "hold two"))
    wait_for(lambda: engine.aborted == ["hold two"], "nothing is asked for it any more")

    waiting = client.batches.retrieve(batch.id)
    assert waiting.errors is not None and [fault.code for fault in waiting.errors.data or []] == ["key_ended"]
    client.batches.cancel(batch.id)
    assert answers(client, wait_for_end(client, batch).output_file_id).keys() == {"one"}


def test_a_batch_that_cannot_be_is_refused(client: openai.OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", chat_lines("one")), purpose="batch")
    asked: dict[str, Any] = {"input_file_id": file.id, "endpoint": "/v1/completions", "completion_window": "24h"}
    for name, value in (
        ("endpoint", "/v1/audio/speech"),
        ("completion_window", "31d"),
        ("completion_window", "soon"),
        ("metadata", {"key": "x" * 513}),
        ("metadata", {str(number): "" for number in range(17)}),
        ("output_expires_after", {"anchor": "created_at", "seconds": 60}),
        ("input_file_id", 5),
    ):
        with pytest.raises(openai.BadRequestError, match=name):
            client.batches.create(**asked | {name: value})
    with pytest.raises(openai.NotFoundError):
        client.batches.create(**asked | {"input_file_id": "file-" + "0" * 32})
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"{", b"[]", b""):
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        answer = requests.post(f"{client.base_url}batches", data=body, headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert list(client.batches.list()) == []
