"""For how long a file is kept, as OpenAI's `expires_after` and `output_expires_after` say it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_hoster.batches.limits import KEPT_S, KEPT_S_MIN


class Lifetime(BaseModel):
    model_config = ConfigDict(frozen=True)

    anchor: Literal["created_at"]
    seconds: int = Field(ge=KEPT_S_MIN, le=KEPT_S)
