"""Files of each kind are read, and the hostile refused in a sentence and in time."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from errno import EFBIG, EMFILE
from pathlib import Path

import pypdf
import pytest

from llm_hoster.attachments.bounds import FILE_MAX_BYTES, READING_MEMORY_BYTES, READING_S
from llm_hoster.attachments.plain_text import decode_text
from llm_hoster.attachments.reading import read_content
from llm_hoster.errors import AttachmentError
from tests.attachments.made_files import archive, paragraph, pdf, pdf_of_streams, word

GERMAN = "Größe in µm\nälter\n"
FLATE = b"/Filter /FlateDecode"


def reason_of(data: bytes, name: str = "file") -> str:
    with pytest.raises(AttachmentError) as raised:
        read_content(data, name)
    assert f'"{name}"' in str(raised.value)
    return raised.value.reason


@pytest.mark.parametrize(
    "data",
    [
        GERMAN.encode(),
        GERMAN.encode("utf-8-sig"),
        GERMAN.encode("utf-16"),
        GERMAN.encode("utf-16-le"),
        GERMAN.encode("utf-16-be"),
        GERMAN.encode("utf-32"),
        GERMAN.encode("latin-1"),
        GERMAN.replace("\n", "\r\n").encode(),
        GERMAN.replace("\n", "\r").encode(),
    ],
)
def test_a_text_is_the_same_in_every_encoding(data: bytes) -> None:
    assert read_content(data, "a.txt").pages == (GERMAN,)


def test_windows_quotation_marks_are_read() -> None:
    assert decode_text("“so” 5 €".encode("cp1252")) == "“so” 5 €"


def test_colours_of_a_log_stay_and_a_lost_byte_is_marked() -> None:
    line = "\x1b[31mfailed\x1b[0m at step\n" * 20
    assert decode_text((line + "\0").encode()) == line + "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "data",
    [
        os.urandom(5000),
        Path(sys.executable).read_bytes()[:100_000],
        gzip.compress(b"text" * 100),
        bz2.compress(b"text" * 100),
        b"\0" * 1000,
        b"BM" + bytes(range(256)) * 4,
        b"\xff\xfe\x00\xd8" * 10,
    ],
    ids=["random", "program", "gzip", "bzip2", "zeros", "bitmap", "torn UTF-16"],
)
def test_what_is_no_text_is_refused_with_what_is_taken(data: bytes) -> None:
    assert reason_of(data, "notes.txt") == "not_text"
    with pytest.raises(
        AttachmentError, match=r"Text and code, CSV, PDF, Word \(.docx\) and pictures .* can be attached"
    ):
        read_content(data, "notes.txt")


def test_the_empty_and_the_large_are_refused() -> None:
    assert reason_of(b"") == "empty"
    assert reason_of(b"a" * (FILE_MAX_BYTES + 1)) == "too_large"


def test_a_pdf_is_read_page_by_page_and_an_empty_page_keeps_its_number() -> None:
    assert read_content(pdf(["first page", "", "third page"]), "a.pdf").pages == ("first page", "", "third page")


def test_ligatures_of_a_pdf_are_letters() -> None:
    assert read_content(pdf([r"\001nd an o\002ine \001le \262"]), "a.pdf").pages == ("find an offline file ²",)


def test_a_pdf_behind_a_printers_lines_is_one() -> None:
    assert read_content(b"@PJL ENTER LANGUAGE=PDF\n" + pdf(["words"]), "a").form == "pdf"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pdf(["", ""]), "no_text"),
        (pdf(["text"])[:200], "damaged"),
        (b"%PDF-1.7\n" + b"\0" * 100, "damaged"),
        (pdf(["text"] * 1001), "pdf_pages"),
        (pdf(["a" * 700_000] * 3), "too_much_text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old_office"),
        (archive({"xl/workbook.xml": b"<a/>"}), "other_archive"),
        (archive({"word/other.xml": b"<a/>"}), "damaged"),
        (word("<w:p>", document="word/document.xml"), "damaged"),
        (word(paragraph("text"))[:-30], "damaged"),
        (word(""), "no_text"),
        (word(paragraph("x" * 2_000_001)), "too_much_text"),
    ],
)
def test_why_a_document_is_refused(data: bytes, reason: str) -> None:
    assert reason_of(data, "my paper") == reason


def test_a_pdf_with_a_password_is_refused(tmp_path: Path) -> None:
    for algorithm, password in (("RC4-128", "secret"), ("RC4-128", "")):
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["words"])))
        writer.encrypt(password, owner_password="owner", algorithm=algorithm)
        writer.write(tmp_path / "locked.pdf")
        data = (tmp_path / "locked.pdf").read_bytes()
        if password:
            assert reason_of(data) == "pdf_locked"
        else:
            assert read_content(data, "a").pages == ("words",)


def test_a_word_file_gives_paragraphs_lists_and_tables() -> None:
    row = f"<w:tr><w:tc>{paragraph('a')}{paragraph('b')}</w:tc><w:tc>{paragraph('c|d')}</w:tc></w:tr>"
    body = (
        paragraph("One &amp; two")
        + "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>point</w:t><w:tab/><w:t>end</w:t></w:r></w:p>"
        + f"<w:tbl>{row}</w:tbl>"
        + "<w:p><w:r><w:delText>deleted</w:delText><w:instrText>PAGE</w:instrText><w:t>last</w:t><w:br/></w:r></w:p>"
    )
    assert read_content(word(body), "a.docx").pages == ("One & two\n- point\tend\n| a b | c\\|d |\nlast",)


def test_a_word_file_of_word_on_the_web_has_another_document() -> None:
    assert read_content(word(paragraph("here"), document="word/document2.xml"), "a").pages == ("here",)


def test_a_text_box_is_read_once() -> None:
    box = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<mc:Choice>{paragraph('box')}</mc:Choice><mc:Fallback>{paragraph('box')}</mc:Fallback></mc:AlternateContent>"
    )
    assert read_content(word(box), "a").pages == ("box",)


def test_entities_of_a_word_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    for head in (
        f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>',
        f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}<!ENTITY x "&l9;">]>',
        '<!DOCTYPE d [<!ENTITY x "word">]>',
    ):
        assert reason_of(word(paragraph("&x;"), head=head)) == "damaged"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (word(paragraph(" " * 60_000_000)), "too_much_memory"),
        (word("<w:p/>" * 2_100_000), "too_much_text"),
        (word("<w:a>" * 500_000 + "</w:a>" * 500_000), "no_text"),
        (pdf_of_streams([zlib.compress(b" " * 200_000_000)], words=FLATE), "too_much_memory"),
    ],
    ids=["long text", "many paragraphs", "deep", "flate"],
)
def test_a_bomb_is_refused(data: bytes, reason: str) -> None:
    assert len(data) < 500_000
    assert reason_of(data, "bomb") == reason


def test_a_pdf_that_would_take_for_ever_is_given_up() -> None:
    operators = zlib.compress(b"BT /F1 12 Tf (a) Tj ET\n" * 3_000_000)
    with pytest.raises(AttachmentError) as raised:
        read_content(pdf_of_streams([operators], words=FLATE), "slow.pdf", reading_s=2)
    assert raised.value.reason == "too_slow"


def test_the_reader_can_take_no_more_than_its_share() -> None:
    program = f"""
import os
from llm_hoster.attachments.reader import take_limits
take_limits(2)
for attempt in (
    lambda: bytearray({READING_MEMORY_BYTES}),
    lambda: open("/dev/shm/grows", "wb", buffering=0).write(b"a"),
    lambda: [open("/dev/null") for _ in range(40)],
):
    try:
        attempt()
    except (MemoryError, OSError) as error:
        print(type(error).__name__, getattr(error, "errno", None))
print(open("/proc/self/oom_score_adj").read())
while True:
    pass
"""
    begun_at = time.monotonic()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-uc", program], capture_output=True, text=True, env=environment)
    Path("/dev/shm/grows").unlink()
    assert done.stdout.split() == ["MemoryError", "None", "OSError", str(EFBIG), "OSError", str(EMFILE), "1000"]
    # Whichever of its two clocks is up first; that of the CPU kills.
    assert done.returncode in (-signal.SIGALRM, -signal.SIGKILL)
    assert time.monotonic() - begun_at < READING_S


def test_too_little_memory_is_told() -> None:
    program = """
import resource
from llm_hoster.attachments import reader
reader.LIMITS[resource.RLIMIT_AS] = 100_000_000
reader.main()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, "word", "20"]
    done = subprocess.run(command, input=word(" " * 45_000_000), capture_output=True, env=environment, check=True)
    assert json.loads(done.stdout)["reason"] == "too_much_memory"


def test_the_reader_is_told_nothing_of_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python is a stand-in that writes down with what it was called."""
    told = tmp_path / "told"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n{{ echo "$@"; env; }} > {told}\necho \'{{"pages": ["read"]}}\'\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("LLM_HOSTER_SETTINGS", "/secret/settings.json")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert read_content(pdf(["words"]), "secret name.pdf").pages == ("read",)
    assert "secret" not in told.read_text()
    assert told.read_text().startswith("-m llm_hoster.attachments.reader pdf 20\n")


def test_the_app_starts_without_what_only_the_reader_needs() -> None:
    program = """
import sys
import llm_hoster.attachments.message_content
import llm_hoster.attachments.cluster_files
print([name for name in ("pypdf", "xml.parsers.expat", "zipfile") if name in sys.modules])
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[]\n"
