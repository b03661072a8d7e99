"""
The modules and style sheets of the page as one file of each kind: through a portal every request has its price.

Each stays a file of its own to whoever works on it. They are put together when the app starts, without a program of
another world: a module becomes a function that gives what it exports, so that no name of it meets another's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_file

SCRIPT, STYLE = "page.js", "page.css"
HTMX = "vendor/htmx.min.js"
FIRST_MODULE = "app"
# In this order: what comes later wins.
STYLE_SHEETS = (
    "app.css", "side_list.css", "message.css", "composer.css", "attachments.css", "settings.css", "models.css",
    "context.css", "gauges.css", "vitals.css", "shared.css", "sources.css", "prose.css", "print.css",
)  # fmt: skip
IMPORT = re.compile(r'^import (\{ \w+(?:, \w+)* \}) from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?function|class) (\w+)", re.MULTILINE)
# What of either is written in another way, and would be left standing.
LEFT_OVER = re.compile(r"^(?:import|export)\b(?!\()", re.MULTILINE)


@dataclass(frozen=True)
class Bundle:
    body: bytes
    mimetype: str
    etag: str = field(init=False)
    # Once, and not for each who asks.
    compressed: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", hashlib.sha256(self.body).hexdigest()[:32])
        object.__setattr__(self, "compressed", gzip.compress(self.body, mtime=0))


class BundlingFlask(Flask):
    """Gives the two as if they lay in the static folder, in a third of the bytes to who takes that."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        folder = Path(self.static_folder or "")
        self._bundles = {
            SCRIPT: Bundle(page_script(folder).encode(), "text/javascript"),
            STYLE: Bundle(bundle_style_sheets(folder / name for name in STYLE_SHEETS).encode(), "text/css"),
        }

    def send_static_file(self, filename: str) -> Response:
        bundle = self._bundles.get(filename)
        if bundle is None:
            return super().send_static_file(filename)
        max_age = self.get_send_file_max_age(filename)
        is_compressed = request.accept_encodings.quality("gzip") > 0
        body, etag = (bundle.compressed, f"{bundle.etag}-gzip") if is_compressed else (bundle.body, bundle.etag)
        response = send_file(io.BytesIO(body), bundle.mimetype, etag=etag, max_age=max_age)
        if is_compressed:
            response.content_encoding = "gzip"
        response.vary.add("Accept-Encoding")
        return response


def page_script(folder: Path) -> str:
    """Put htmx before the modules, which find it where its documentation says."""
    return f"{(folder / HTMX).read_text()}\nwindow.htmx = htmx;\n{bundle_modules(folder)}"


def bundle_modules(folder: Path) -> str:
    """Put a module behind those that it imports; raise ValueError for a way of writing that is not known here."""
    return "\n".join(_functions(folder, FIRST_MODULE, before=(), done=set()))


def bundle_style_sheets(paths: Iterable[Path]) -> str:
    return "\n".join(path.read_text() for path in paths)


def _functions(folder: Path, name: str, before: tuple[str, ...], done: set[str]) -> Iterator[str]:
    if name in before:
        raise ValueError(f"{name}.js imports itself, through {', '.join(before)}")
    if name in done:
        return
    text = (folder / f"{name}.js").read_text()
    for match in IMPORT.finditer(text):
        yield from _functions(folder, match[2], (*before, name), done)
    exported = ", ".join(match[2] for match in EXPORT.finditer(text))
    text = EXPORT.sub(r"\1 \2", IMPORT.sub(r"const \1 = module_\2;", text))
    if LEFT_OVER.search(text):
        raise ValueError(f"{name}.js imports or exports in a way that is not known here")
    done.add(name)
    yield f"// {name}.js\nconst module_{name} = (() => {{\n{text}return {{ {exported} }};\n}})();\n"
