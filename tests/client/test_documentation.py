"""The documentation has the examples that the tests run, word by word."""

from __future__ import annotations

from pathlib import Path

import llm_hoster.client

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGE = (REPOSITORY / "docs" / "client.md").read_text()


def test_every_example_is_in_the_documentation() -> None:
    examples = sorted((REPOSITORY / "examples").glob("*.py"))
    assert [example.stem for example in examples] == ["async_chat", "basic", "streaming"]
    assert [example.name for example in examples if f"```python\n{example.read_text()}```\n" not in PAGE] == []


def test_every_method_of_the_client_is_in_the_documentation() -> None:
    methods = [name for name in vars(llm_hoster.client.Client) if not name.startswith("_")]
    named = {"close", "base_url", "model"}
    assert [name for name in methods if f"`{name}" not in PAGE and name not in named] == []
    twins = {name for name in vars(llm_hoster.client.AsyncClient) if not name.startswith("_")}
    assert set(methods) - twins == {"base_url"}


def test_every_name_that_the_package_offers_can_be_had() -> None:
    assert [name for name in llm_hoster.client.__all__ if not hasattr(llm_hoster.client, name)] == []
    assert not hasattr(llm_hoster.client, "nothing")
