"""What was asked, for an audit log that is to have it."""

from __future__ import annotations

import json
import re
from typing import Any

# Where the questions of all routes under /v1 have what a model reads; what is asked last is last.
PLACES = (
    "system", "instructions", "suffix", "query", "queries", "documents", "items", "data_1", "data_2",
    "text_1", "text_2", "prompt", "input", "messages",
)  # fmt: skip
PROMPT_MAX = 64 * 1024
CUT = " [... cut ...] "
# Pictures and sounds, also as an address that has them in it. Elsewhere a long word may be a genome.
MEDIA_KEYS = {"data", "file_data", "url", "image_url", "audio_url", "video_url", "file_url"}
MEDIA = re.compile(r"(data:[^,]{0,200},)?[A-Za-z0-9+/=_\-]{256,}")
LEFT_OUT = "[left out]"


def prompt_in(question: bytes | None) -> str | None:
    """
    Give it as JSON, without media; None where nothing of it is known.

    Of a long one the middle is cut out: programs send a whole conversation again with each question at its end.
    """
    try:
        document = json.loads(question or b"", object_hook=_without_media)
        if not isinstance(document, dict):
            return None
        asked = {place: document[place] for place in PLACES if place in document}
        text = json.dumps(asked, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    half = PROMPT_MAX // 2
    return text if len(text) <= PROMPT_MAX else text[:half] + CUT + text[-half:]


def _without_media(part: dict[str, Any]) -> dict[str, Any]:
    return {
        name: LEFT_OUT if name in MEDIA_KEYS and isinstance(value, str) and MEDIA.fullmatch(value) else value
        for name, value in part.items()
    }
