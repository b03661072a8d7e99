"""Ruby renders an app's files as OnDemand does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portal.ruby import RubyError, ask_ruby
from tests.portal.app_builder import make_app


def submit(tmp_path: Path, text: str, **context: str) -> Any:
    app = make_app(tmp_path / "app", submit__yml__erb=text)
    staged_root = tmp_path / "staged"
    return ask_ruby({"do": "submit", "app_root": str(app), "context": context, "staged_root": str(staged_root)})


def card(tmp_path: Path, connection: str | None = None, state: str = "running", **files: str) -> Any:
    app = make_app(tmp_path / "app", **files)
    staged_root = tmp_path / "staged"
    staged_root.mkdir()
    (staged_root / "user_defined_context.json").write_text(json.dumps({"model": "tiny"}))
    if connection is not None:
        (staged_root / "connection.yml").write_text(connection)
    session = {"id": "i-1", "job_id": "7", "app_root": str(app), "staged_root": str(staged_root), "job_state": state}
    return ask_ruby({"do": "card", "session": session, "session_in_view": "session_in_view" in files})


def test_submit_sees_the_values_as_strings_and_undefined_names_as_nil(tmp_path: Path) -> None:
    text = "script: {wall_time: <%= hours.to_i * 60 %>, qos: <%= nothing.inspect %>, class: <%= hours.class %>}"
    assert submit(tmp_path, text, hours="2")["script"] == {"wall_time": 120, "qos": "nil", "class": "String"}


def test_submit_finds_files_beside_itself_and_the_staged_root(tmp_path: Path) -> None:
    text = "script: {native: ['<%= File.basename(__dir__) %>', '<%= staged_root.basename %>']}"
    assert submit(tmp_path, text)["script"]["native"] == ["app", "staged"]


def test_what_submit_raises_arrives_as_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(RubyError, match=r"^Choose another model\.$"):
        submit(tmp_path, "<% raise 'Choose another model.' %>")


def test_even_an_exception_that_is_no_error_is_caught(tmp_path: Path) -> None:
    with pytest.raises(RubyError, match="out of it"):
        submit(tmp_path, "<% raise Exception, 'out of it' %>")


def test_a_submit_that_is_no_yaml_is_kept_for_the_admin(tmp_path: Path) -> None:
    with pytest.raises(RubyError, match="line 1"):
        submit(tmp_path, "script: {a: <%= model %>", model="x: [")
    assert (tmp_path / "staged" / "submit.yml").read_text() == "script: {a: x: ["


def test_submit_may_not_make_ruby_objects(tmp_path: Path) -> None:
    with pytest.raises(RubyError, match="unspecified class"):
        submit(tmp_path, "script: !ruby/object:OpenStruct {a: 1}")


def test_an_attribute_named_like_a_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RubyError, match="are keywords that cannot be used"):
        submit(tmp_path, "a: 1", method="x")


def test_what_an_app_prints_does_not_spoil_the_answer(tmp_path: Path) -> None:
    assert submit(tmp_path, "<% puts 'noise'; $stdout.puts 'noise'; system('echo noise') %>a: 1") == {"a": 1}


def test_the_view_sees_the_connection_and_goes_through_markdown(tmp_path: Path) -> None:
    view = (
        "<div>\n<b><%= host %>:<%= port %></b> <%= nothing.inspect %>\n</div>\n\nSee **this** http://example.org/x.\n"
    )
    html, error = card(tmp_path, "host: n1\nport: 80\n", view__html__erb=view)["view"]
    assert error is None
    assert "<div>\n<b>n1:80</b> nil\n</div>" in html
    assert '<strong>this</strong> <a href="http://example.org/x">' in html


def test_markdown_has_the_extensions_of_ondemand_and_no_others(tmp_path: Path) -> None:
    info = "| a |\n|---|\n| b |\n\n~~gone~~ snake_case_word x^2 ==no==\n\n```\ncode\n```\n"
    html, _ = card(tmp_path, info__md__erb=info)["info"]
    for expected in ("<table>", "<del>gone</del>", "snake_case_word", "x^2", "==no==", "<pre><code>code"):
        assert expected in html


def test_the_view_has_no_session_before_ondemand_4_2(tmp_path: Path) -> None:
    html, error = card(tmp_path, "host: n1\n", view__html__erb="<%= session.nil? ? 'no session' : session.id %>")[
        "view"
    ]
    assert error is None
    assert "no session" in html


def test_the_view_has_the_session_from_ondemand_4_2_on(tmp_path: Path) -> None:
    view = {"view__html__erb": "<%= session.id %>", "session_in_view": ""}
    assert card(tmp_path, "host: n1\n", **view)["view"] == ["<p>i-1</p>\n", None]


def test_a_view_that_fails_says_why_and_spares_the_rest_of_the_card(tmp_path: Path) -> None:
    parts = card(tmp_path, "host: n1\n", view__html__erb="<%= nil + 1 %>", info__md__erb="fine")
    assert parts["view"][0] is None
    assert "NoMethodError" in parts["view"][1]
    assert parts["info"] == ["<p>fine</p>\n", None]


def test_info_sees_the_session(tmp_path: Path) -> None:
    info = "<%= status %> <%= user_context['model'] %> <%= id %> <%= staged_root.basename %> <%= app.root.basename %>"
    assert card(tmp_path, info__md__erb=info)["info"] == ["<p>running tiny i-1 staged app</p>\n", None]


def test_connect_in_info_fails_until_the_connection_is_there(tmp_path: Path) -> None:
    assert "ENOENT" in card(tmp_path, info__md__erb="<%= connect.host %>")["info"][1]


def test_completed_is_shown_only_when_the_job_has_ended(tmp_path: Path) -> None:
    assert "completed" not in card(tmp_path, completed__md__erb="over")


def test_completed_is_shown_without_the_view(tmp_path: Path) -> None:
    parts = card(tmp_path, "host: n1\n", "completed", completed__md__erb="over", view__html__erb="connect")
    assert parts == {"completed": ["<p>over</p>\n", None]}
