"""The head of a README.md comes from anywhere, and what it says goes into the form."""

from __future__ import annotations

import time

import pytest

from llm_hoster.models_command.readme_head import HEAD_BYTES_MAX, ReadmeHead, licence_words, read_head

BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{', '.join(['*' + chr(97 + i)] * 9)}]}}\n" for i in range(12)
)


def read(head: str) -> ReadmeHead:
    return read_head(f"---\n{head}\n---\n# Model\n".encode())


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("license: mit", ReadmeHead(licence="mit")),
        ("license: [mit, apache-2.0]", ReadmeHead(licence="mit")),
        ("license: other\nlicense_name: qwen-research", ReadmeHead(licence="qwen-research")),
        ("license: other", ReadmeHead(licence="other")),
        ("license: gemma\nextra_gated_button_content: Yes", ReadmeHead(licence="gemma", is_gated=True)),
        ("pipeline_tag: text-ranking\nlibrary_name: x", ReadmeHead(pipeline_tag="text-ranking", library_name="x")),
        ("license: {mit: 1}", ReadmeHead()),
        ("license:", ReadmeHead()),
        ("license: !!python/object/apply:os.system ['touch /tmp/never']", ReadmeHead(licence="touch /tmp/never")),
        ("- a list", ReadmeHead()),
        ("a: b: c", ReadmeHead()),
        ("a: &a [*a]\nlicense: mit", ReadmeHead(licence="mit")),
        ("[" * 5000, ReadmeHead()),
        ("\x00", ReadmeHead()),
    ],
)
def test_the_head_is_read_and_never_built(head: str, expected: ReadmeHead) -> None:
    assert read(head) == expected


@pytest.mark.parametrize("bomb", [BOMB, MERGES])
def test_a_bomb_of_aliases_does_not_go_off(bomb: str) -> None:
    began = time.monotonic()
    assert read(bomb + "license: mit").licence == "mit"
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("readme", [b"", b"# No head", b"---\nlicense: mit\n", b"\xff\xfe---\nlicense: mit\n---\n"])
def test_a_readme_without_a_head_says_nothing(readme: bytes) -> None:
    assert read_head(readme) == ReadmeHead()


@pytest.mark.parametrize(
    "readme",
    [
        b"---\n" + b"\n" * 2**22,
        b"---\n" + b" \n" * 2**21,
        b"---\n" + b"a\n--- \t\x0b" * 2**19,
        b"---\n" + b"- " * 2**21 + b"\n---\n",
        b"---\n" + b"? " * 2**14 + b"\n---\n",
        b"---\n" + b"[" * 2**15 + b"\n---\n",
        b"---\n" + b"{a: " * 2**13 + b"\n---\n",
        b"---\nlicense: " + b"&a " * 2**14 + b"\n---\n",
    ],
)
def test_a_readme_that_is_made_to_be_slow_is_not(readme: bytes) -> None:
    began = time.process_time()
    assert read_head(readme) == ReadmeHead()
    assert time.process_time() - began < 2


def test_a_head_ends_at_its_first_line_of_hyphens_alone() -> None:
    assert read("license: mit\n--- \nlicense: gemma") == ReadmeHead(licence="mit")
    assert read("a: --- b\n---- c: 1\nd: |\n  ---\nlicense: mit") == ReadmeHead(licence="mit")
    assert read_head(b"---\n---\nlicense: mit\n") == ReadmeHead()


def test_a_head_that_is_longer_than_any_known_says_nothing() -> None:
    fields = "license: mit\n"
    room = HEAD_BYTES_MAX - len(f"---\n{fields}#\n---")
    assert read(f"{fields}#{'x' * room}") == ReadmeHead(licence="mit")
    assert read(f"{fields}#{'x' * (room + 1)}") == ReadmeHead()


def test_line_ends_and_marks_of_windows_do_not_matter() -> None:
    assert read_head("\ufeff---\r\nlicense: mit\r\n---\r\n".encode()).licence == "mit"


@pytest.mark.parametrize(
    ("licence", "is_gated", "words"),
    [
        ("apache-2.0", False, "Apache 2.0"),
        ("llama3.3", True, "Llama 3.3, ask first"),
        ("nvidia-open-model-license", False, "nvidia open model license"),
        ("", False, "unknown, look it up"),
        ("other", True, "unknown, look it up, ask first"),
        ("<script>alert(1)</script>", False, "script alert(1) script"),
        ("<%= `id` %>", False, "id"),
        ('a"\n- name: "b', False, "a name b"),
        ("x" * 500, False, "x" * 60),
        ("\u2028許可", False, "unknown, look it up"),
    ],
)
def test_a_licence_becomes_a_few_harmless_words(licence: str, is_gated: bool, words: str) -> None:
    assert licence_words(licence, is_gated=is_gated) == words
