"""The name under which a browser saves what it downloads. Titles are anybody's words."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from werkzeug.http import dump_options_header

LENGTH_MAX = 60
# Of Windows, where a file cannot have these names.
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def file_name(title: str, ending: str) -> str:
    """Keep letters and digits of all languages; what else there is becomes one hyphen."""
    normal = unicodedata.normalize("NFC", title)
    plain = re.sub(r"[^\w]+", "-", normal).strip("-_")[:LENGTH_MAX].strip("-_")
    return f"{'chat' if not plain or RESERVED.fullmatch(plain) else plain}.{ending}"


def disposition(name: str) -> str:
    """Write Content-Disposition as RFC 6266 has it: a plain name, and the true one beside it where that differs."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = f"chat{plain}" if plain.startswith(".") else plain
    options = {"filename": plain}
    if plain != name:
        options["filename*"] = f"UTF-8''{quote(name)}"
    return dump_options_header("attachment", options)
