"""The text of a .docx: paragraphs, lists and tables. Runs in a process of its own (`reader`)."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Callable
from xml.parsers import expat

from llm_hoster.attachments.bounds import TEXT_MAX_CHARACTERS, WORD_XML_MAX_BYTES
from llm_hoster.attachments.plain_text import clean
from llm_hoster.attachments.refusal import refusal

NAMESPACES = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)
FALLBACK = "http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
IN_LINE = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "p": "\n"}

Begin = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


def read_word(data: bytes, name: str) -> list[str]:
    """Without headers, footers, notes, comments and what was deleted under change tracking."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if not any(member.startswith("word/") for member in archive.namelist()):
            raise refusal("other_archive", name=name)
        document = _read_member(archive, _document_name(archive), name)
    text = _Text(name)
    _parse(document, begin=text.begin, end=text.end, write=text.write)
    return [clean(text.result()).strip()]


def _document_name(archive: zipfile.ZipFile) -> str:
    """Word on the web calls it document2.xml; the package says which it is."""
    found = ["word/document.xml"]

    def begin(tag: str, attributes: dict[str, str]) -> None:
        if attributes.get("Type", "").endswith("/officeDocument"):
            found.append(posixpath.normpath(attributes.get("Target", "").lstrip("/")))

    _parse(_read_member(archive, "_rels/.rels", ""), begin=begin)
    return found[-1]


def _read_member(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    """What the archive says of a member's size may be a lie."""
    with archive.open(member) as file:
        data = file.read(WORD_XML_MAX_BYTES + 1)
    if len(data) > WORD_XML_MAX_BYTES:
        raise refusal("too_much_memory", name=name)
    return data


def _parse(data: bytes, *, begin: Begin, end: End | None = None, write: End | None = None) -> None:
    """Without document types, which Word never writes, there are no entities but those of XML itself."""

    def refuse(*_: object) -> None:
        raise ValueError("a document type")

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = write
    parser.Parse(data, True)


class _Text:
    """The text of a document, as its elements begin and end. A row of a table becomes one line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._written: list[str] = []
        self._cells: list[list[str]] = []  # of the rows that are open, the innermost last
        self._begins: list[int] = []  # where the cells that are open begin in what is written
        self._ignored = 0
        self._is_text = False
        self._characters = 0

    def result(self) -> str:
        return "".join(self._written)

    def begin(self, tag: str, _: object) -> None:
        if tag == FALLBACK:
            self._ignored += 1
        word = self._word_of(tag)
        if word == "t":
            self._is_text = True
        elif word == "tr":
            self._cells.append([])
        elif word == "tc":
            self._begins.append(len(self._written))
        elif word == "numPr":
            self._put("- ")

    def write(self, text: str) -> None:
        if self._is_text:
            self._put(text)

    def end(self, tag: str) -> None:
        if tag == FALLBACK:
            self._ignored -= 1
        word = self._word_of(tag)
        if word == "t":
            self._is_text = False
        elif word in IN_LINE:
            self._put(IN_LINE[word])
        elif word == "tc" and self._begins and self._cells:
            begin = self._begins.pop()
            self._cells[-1].append(" ".join("".join(self._written[begin:]).replace("|", r"\|").split()))
            del self._written[begin:]
        elif word == "tr" and self._cells:
            self._put(f"| {' | '.join(self._cells.pop())} |\n")

    def _word_of(self, tag: str) -> str:
        """Give the name of one of Word's own elements, or nothing."""
        namespace, _, word = tag.rpartition("}")
        return word if namespace in NAMESPACES and not self._ignored else ""

    def _put(self, text: str) -> None:
        self._written.append(text)
        self._characters += len(text)
        if self._characters > TEXT_MAX_CHARACTERS:
            raise refusal("too_much_text", name=self._name)
