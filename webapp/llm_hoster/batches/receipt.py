"""What a line of a batch comes to, in the record of requests, as if its key had asked it by itself."""

from __future__ import annotations

import time

from llm_hoster.api_keys.api_key import ApiKey
from llm_hoster.usage.record import RequestRecord
from llm_hoster.usage.recorder import OpenRequest, Recorder
from llm_hoster.usage.tokens import estimated_prompt


def begin(recorder: Recorder, key: ApiKey, request_id: str, model: str, route: str, body: bytes) -> OpenRequest:
    record = RequestRecord(
        begun_at=time.time(),
        request_id=request_id,
        key_id=key.id,
        key_name=key.name,
        model=model,
        route=route,
        is_stream=False,
        address="",
        prompt_tokens=estimated_prompt(body),
    )
    return recorder.begin(record, body)
