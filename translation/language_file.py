"""The file of each language: what is to be translated is collected into it, and it is compiled."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from llm_hoster.language import CODE, ENGLISH, FOLDER, LANGUAGES, english_of_scripts
from translation.code_sentences import PACKAGE, code_sentences

KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
# As Flask sets Jinja up.
JINJA = {"newstyle_gettext": "true", "silent": "false"}
HEADER = "# The {title} of LLM Hoster's pages: docs/languages.md says how it is kept.\n#"


def translations() -> list[str]:
    return [each for each in LANGUAGES if each != ENGLISH]


def po_path(language: str) -> Path:
    return FOLDER / f"{language}.po"


def collected() -> Catalog:
    """Give all that the pages say, without a translation."""
    catalog = Catalog(charset="utf-8")
    for method, pattern in (("jinja2.ext:babel_extract", "templates/**/*.html"), ("python", "**/*.py")):
        for path in sorted(PACKAGE.glob(pattern)):
            for message, comments in _extracted(method, path):
                catalog.add(message, locations=[(_location(path), 1)], auto_comments=comments)
    for text in code_sentences():
        catalog.add(text.message, locations=[(text.path, 1)], context=CODE)
    for english in english_of_scripts():
        catalog.add(english, locations=[("static", 1)])
    return catalog


def _extracted(method: str, path: Path) -> Iterator[tuple[str | tuple[str, ...], list[str]]]:
    with path.open("rb") as file:
        for _, message, comments, _ in extract(method, file, KEYWORDS, ["For translators:"], JINJA):
            if message:
                yield message, comments


def _location(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def read(language: str) -> Catalog:
    if not po_path(language).exists():
        return Catalog(locale=language)
    with po_path(language).open("rb") as file:
        return read_po(file, locale=language)


def updated(language: str) -> Catalog:
    """
    Give a language's file with all that the pages say now: what is new has no translation yet.

    What they say no more stays as a comment, and comes back with its translation when they say it again.
    """
    catalog = read(language)
    earlier = {(message.context, message.id): message.string for message in catalog.obsolete.values()}
    catalog.update(collected(), no_fuzzy_matching=True, update_creation_date=False)
    for message in catalog:
        if message.id and not _is_translated(message.string):
            message.string = earlier.get((message.context, message.id), message.string)
    said = {(message.context, message.id) for message in catalog}
    catalog.obsolete = {
        key: message for key, message in catalog.obsolete.items() if (message.context, message.id) not in said
    }
    catalog.header_comment = HEADER.format(title=LANGUAGES[language])
    catalog.project, catalog.version, catalog.fuzzy = "LLM Hoster", "", False
    return catalog


def missing(catalog: Catalog) -> list[str]:
    """Give what has no translation, in English."""
    return [_english(message.id) for message in catalog if message.id and not _is_translated(message.string)]


def _is_translated(string: object) -> bool:
    return all(string) if isinstance(string, (tuple, list)) else bool(string)


def _english(message_id: object) -> str:
    return message_id[0] if isinstance(message_id, (tuple, list)) else str(message_id)


def po_of(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=120, sort_by_file=True, include_lineno=False, omit_header=False)
    return buffer.getvalue()


def mo_of(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()
