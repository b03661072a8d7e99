"""The text of a PDF, page by page. Runs in a process of its own (`reader`)."""

from __future__ import annotations

import io

import pypdf
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from llm_hoster.attachments.bounds import PDF_MAX_PAGES, TEXT_MAX_CHARACTERS
from llm_hoster.attachments.plain_text import clean
from llm_hoster.attachments.refusal import refusal

# Printed as one piece, and not what a model or a search knows the word by.
LIGATURES = str.maketrans(
    {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
)


def read_pdf(data: bytes, name: str) -> list[str]:
    """Raise AttachmentError; pypdf bounds what a compressed stream may become."""
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        count = len(reader.pages)
        if count > PDF_MAX_PAGES:
            raise refusal("pdf_pages", name=name, pages=count)
        pages: list[str] = []
        characters = 0
        for page in reader.pages:
            pages.append(clean(page.extract_text()).translate(LIGATURES).strip())
            characters += len(pages[-1])
            if characters > TEXT_MAX_CHARACTERS:
                raise refusal("too_much_text", name=name)
    except (DependencyError, FileNotDecryptedError) as error:
        raise refusal("pdf_locked", name=name) from error
    except LimitReachedError as error:
        raise refusal("too_much_memory", name=name) from error
    return pages
