"""What is done to the history, with one answer for each way in which it can fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from llm_hoster.chat.schema import is_damage
from llm_hoster.chat.shelf import ShelfFullError
from llm_hoster.errors import HTTPError

NO_SUCH_CHAT = "There is no such chat, or it was deleted."

Result = TypeVar("Result")


def act(work: Callable[[], Result], *, missing: str = NO_SUCH_CHAT) -> Result:
    """Do it, and say `missing` where it raises LookupError."""
    try:
        return work()
    except LookupError as error:
        raise HTTPError(404, missing, code="not_found") from error
    except ShelfFullError as error:
        raise HTTPError(409, str(error), code="too_many") from error
    except (OSError, sqlite3.Error) as error:
        if is_damage(error):
            raise
        cause = error.strerror if isinstance(error, OSError) else error
        raise HTTPError(507, f"This could not be saved ({cause}). Try again.", code="not_saved") from error


def no_such_chat() -> HTTPError:
    return HTTPError(404, NO_SUCH_CHAT, code="not_found")
