"""One attached file as it stands in the text of a question."""

from __future__ import annotations

import re

from llm_hoster.attachments.attachment import Attachment
from llm_hoster.attachments.bounds import TABLE_WHOLE_MAX_CHARACTERS
from llm_hoster.attachments.content import Content
from llm_hoster.attachments.names import name_ending
from llm_hoster.attachments.table import read_head

TICKS = re.compile("`+")
LANGUAGE = re.compile(r"[a-z0-9+#-]{1,12}")


def question_block(attachment: Attachment, content: Content) -> str:
    """Give the name, and the text in a fence that no line of it can close; of a picture only its name."""
    name = attachment.name
    if attachment.kind == "picture":
        return f"Picture: {name}\n"
    if attachment.kind == "pdf":
        # The model quotes a page by this number, and the reader finds it.
        pages = (f"[Page {number}]\n{text}" for number, text in enumerate(content.pages, 1))
        return fenced(f"File: {name} (PDF, {len(content.pages)} pages)", "\n\n".join(pages))
    text = content.pages[0]
    if attachment.kind == "table" and len(text) > TABLE_WHOLE_MAX_CHARACTERS:
        head, rows = read_head(text)
        told = f"{attachment.rows:,} rows and {attachment.columns} columns; only the first {rows} rows are shown"
        return fenced(f"File: {name} ({told})", head, name_ending(name))
    return fenced(f"File: {name}", text, "" if attachment.kind == "word" else name_ending(name))


def fenced(title: str, text: str, language: str = "") -> str:
    """Put a title above a text in a fence that no line of the text can close."""
    longest = max((len(run) for run in TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    language = language if LANGUAGE.fullmatch(language) else ""
    end = "" if text.endswith("\n") else "\n"
    return f"{title}\n{fence}{language}\n{text}{end}{fence}\n"
