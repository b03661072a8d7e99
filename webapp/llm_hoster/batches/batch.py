"""A batch as it was asked for, where it stands, and how OpenAI's clients read both."""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from llm_hoster.batches.lifetime import Lifetime
from llm_hoster.batches.limits import DAY_S, HOUR_S, KEPT_S

BATCH_ID = re.compile(r"batch_[0-9a-f]{32}")
WINDOW = re.compile(r"([1-9][0-9]{0,2})([hd])")
Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
FINAL = ("failed", "completed", "expired", "cancelled")


class BatchOrder(BaseModel):
    """The body of POST /v1/batches."""

    model_config = ConfigDict(frozen=True)

    input_file_id: str
    endpoint: Endpoint
    completion_window: str
    metadata: (
        dict[Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]] | None
    ) = Field(default=None, max_length=16)
    output_expires_after: Lifetime | None = None

    @field_validator("completion_window")
    @classmethod
    def check_window(cls, text: str) -> str:
        if not 0 < window_s(text) <= KEPT_S:
            raise ValueError(f"expected '24h', or other hours or days up to '{KEPT_S // DAY_S}d'")
        return text


class Batch(BaseModel):
    """What was asked, by whom and when; it never changes. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True)

    id: str
    caller: str
    created_at: float
    order: BatchOrder
    # The models that were served when it was asked; None where none was ready yet.
    models: tuple[str, ...] | None

    @property
    def expires_at(self) -> int:
        return int(self.created_at) + window_s(self.order.completion_window)

    @property
    def output_kept_s(self) -> int:
        lifetime = self.order.output_expires_after
        return KEPT_S if lifetime is None else lifetime.seconds

    @property
    def hex(self) -> str:
        return self.id.removeprefix("batch_")


class LineFault(BaseModel):
    """What is wrong with a line of the input; `line` counts from 1, and is None for what concerns them all."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Progress(BaseModel):
    """Where a batch stands, as the session that works at it wrote it last. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True)

    status: Status = "validating"
    model: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    faults: tuple[LineFault, ...] = ()
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelled_at: int | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


def window_s(text: str) -> int:
    """Give the seconds of '24h' or '7d'; 0 where it is neither."""
    match = WINDOW.fullmatch(text)
    return 0 if match is None else int(match[1]) * (HOUR_S if match[2] == "h" else DAY_S)


def new_batch_id() -> str:
    return f"batch_{secrets.token_hex(16)}"


def as_openai(batch: Batch, progress: Progress, cancelling_at: int | None) -> dict[str, object]:
    is_cancelling = cancelling_at is not None and not progress.is_final
    faults = [fault.model_dump() for fault in progress.faults]
    return {
        "id": batch.id,
        "object": "batch",
        "created_at": int(batch.created_at),
        "expires_at": batch.expires_at,
        "cancelling_at": cancelling_at,
        "status": "cancelling" if is_cancelling else progress.status,
        "errors": {"object": "list", "data": faults} if faults else None,
        "request_counts": {"total": progress.total, "completed": progress.completed, "failed": progress.failed},
        **batch.order.model_dump(include={"input_file_id", "endpoint", "completion_window", "metadata"}),
        **progress.model_dump(exclude={"status", "total", "completed", "failed", "faults"}),
    }
