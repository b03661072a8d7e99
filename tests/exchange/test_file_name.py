"""Names of downloads, made from titles that anybody has written."""

from __future__ import annotations

import pytest

from llm_hoster.chat.exchange.file_name import disposition, file_name

NAMES = {
    "How a mutex works": "How-a-mutex-works.md",
    "../../etc/passwd": "etc-passwd.md",
    'a"; filename="b.exe': "a-filename-b-exe.md",
    "line\r\nSet-Cookie: x": "line-Set-Cookie-x.md",
    "Größe 漢字": "Größe-漢字.md",
    "\u202egnp.exe": "gnp-exe.md",
    "con": "chat.md",
    "LPT1": "chat.md",
    "😀": "chat.md",
    "": "chat.md",
    "x" * 300: f"{'x' * 60}.md",
}


@pytest.mark.parametrize(("title", "name"), NAMES.items(), ids=range(len(NAMES)))
def test_a_title_becomes_a_name_that_every_system_takes(title: str, name: str) -> None:
    assert file_name(title, "md") == name
    header = disposition(name)
    assert header.startswith("attachment; filename=") and header.isascii() and header.isprintable()
    assert header.count("filename=") == 1


def test_the_true_name_stands_beside_a_plain_one() -> None:
    assert (
        disposition("Größe-漢字.md")
        == "attachment; filename=Groe-.md; filename*=UTF-8''Gr%C3%B6%C3%9Fe-%E6%BC%A2%E5%AD%97.md"
    )
    assert disposition("漢字.md") == "attachment; filename=chat.md; filename*=UTF-8''%E6%BC%A2%E5%AD%97.md"
