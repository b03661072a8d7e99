"""Names as others have given them, made fit to be shown and to stand in a question."""

from __future__ import annotations

import re
import unicodedata

NAME_MAX_CHARACTERS = 100
ENDING_MAX_CHARACTERS = 12
PATH_MAX_CHARACTERS = 300
UNNAMED = "unnamed file"


def shown_name(name: str) -> str:
    """Give the last part of a path in one line, without what is invisible or turns the direction of writing."""
    cleaned = _one_line(re.split(r"[/\\]", name)[-1])
    if len(cleaned) > NAME_MAX_CHARACTERS:
        stem, dot, ending = cleaned.rpartition(".")
        ending = dot + ending if stem and len(ending) <= ENDING_MAX_CHARACTERS else ""
        cleaned = cleaned[: NAME_MAX_CHARACTERS - len(ending) - 1].rstrip() + "…" + ending
    # Nothing but dots would be taken for a folder.
    return cleaned if cleaned.strip(". ") else UNNAMED


def shown_path(path: str) -> str:
    """Give the whole path in one line; a long one loses its middle."""
    cleaned = _one_line(path)
    if len(cleaned) <= PATH_MAX_CHARACTERS:
        return cleaned
    half = PATH_MAX_CHARACTERS // 2
    return f"{cleaned[:half]}…{cleaned[-half:]}"


def name_ending(name: str) -> str:
    """Give what follows the last dot, in lower case, or nothing."""
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem else ""


def _one_line(text: str) -> str:
    """Bytes that are no UTF-8 come as surrogates; the categories C and Z are control, format, private and spaces."""
    shown = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category == "Cs":
            shown.append("\N{REPLACEMENT CHARACTER}")
        elif category.startswith("Z") or character in "\t\n\r":
            shown.append(" ")
        elif not category.startswith("C"):
            shown.append(character)
    return " ".join("".join(shown).split())
