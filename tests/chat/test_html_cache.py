"""Rendered messages are kept, and not more of them than there is room for."""

from __future__ import annotations

from llm_hoster.chat.html_cache import HTMLCache


def test_the_same_text_gives_the_very_html_of_before() -> None:
    cache = HTMLCache()

    assert cache.render("*a* 👩") is cache.render("*a* 👩")
    assert cache.render("*a*") == "<p><em>a</em></p>\n"


def test_what_was_not_looked_at_for_the_longest_time_goes_first() -> None:
    cache = HTMLCache(limit_bytes=2500)
    first, second = "a" * 1000, "b" * 1000
    kept, forgotten = cache.render(first), cache.render(second)
    cache.render(first)

    cache.render("c" * 1000)

    assert cache.render(first) is kept
    assert cache.render(second) is not forgotten


def test_what_is_larger_than_the_room_is_rendered_all_the_same() -> None:
    assert HTMLCache(limit_bytes=10).render("a") == "<p>a</p>\n"
