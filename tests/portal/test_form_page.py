"""The form has OnDemand's ids and names, and keeps what was entered when a launch is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from portal.html_page import Form, HtmlPage

NEW = "/pun/sys/dashboard/batch_connect/sys/llm_hoster/session_contexts/new"
CREATE = NEW.removesuffix("/new")
MakeClient = Callable[..., FlaskClient]


def field(name: str) -> str:
    return f"batch_connect_session_context[{name}]"


def the_form(page: HtmlPage) -> Form:
    return next(form for form in page.forms if form.id == "new_batch_connect_session_context")


def launch(client: FlaskClient, **values: str) -> str:
    form = the_form(HtmlPage(client.get(NEW).text))
    sent = form.fields | {field(name): value for name, value in values.items()}
    return client.post(CREATE, data=sent, follow_redirects=True).text


def tag_with_id(page: HtmlPage, name: str) -> dict[str, str]:
    wanted = f"batch_connect_session_context_{name}"
    return next(values for _, values in page.tags if values.get("id") == wanted)


def test_a_browser_would_send_these_fields(make_client: MakeClient) -> None:
    fields = the_form(HtmlPage(make_client().get(NEW).text)).fields
    assert fields.pop("authenticity_token")
    assert fields == {
        field("cluster"): "local",
        field("model"): "",
        field("hours"): "2",
        field("bc_num_hours"): "1",
        field("bc_account"): "",
        field("bc_email_on_started"): "0",
        field("note"): "",
    }


def test_each_field_has_its_wrapper_with_the_widgets_name(make_client: MakeClient) -> None:
    page = HtmlPage(make_client().get(NEW).text)
    assert tag_with_id(page, "model_wrapper")["data-widget-type"] == "select"
    assert tag_with_id(page, "bc_num_hours_wrapper")["data-widget-type"] == "number_field"
    assert tag_with_id(page, "bc_email_on_started_wrapper")["data-widget-type"] == "check_box"


def test_limits_and_patterns_reach_the_browser(make_client: MakeClient) -> None:
    page = HtmlPage(make_client().get(NEW).text)
    hours = tag_with_id(page, "bc_num_hours")
    assert (hours["type"], hours["min"], hours["max"], hours["required"]) == ("number", "1", "24", "required")
    assert tag_with_id(page, "bc_account")["pattern"] == "[a-z]+"


def test_labels_and_options_are_data_and_help_is_markdown(make_client: MakeClient) -> None:
    text = make_client().get(NEW).text
    assert "Model &lt;1&gt;</label>" in text
    assert '<option value="tiny" data-note="a &#34;b&#34;">Tiny &lt;b&gt;</option>' in text
    assert '<small class="form-text text-muted"><p>Pick <em>one</em>.</p>' in text


def test_a_required_select_without_a_value_begins_with_a_blank_option(make_client: MakeClient) -> None:
    assert '<option value="" label=" "></option>' in make_client().get(NEW).text


def test_accounts_are_what_the_cluster_knows(make_client: MakeClient) -> None:
    client = make_client({"accounts": ("ucb-general", "ucb1_alloc")}, form__yml="form: [auto_accounts]")
    assert re.findall(r'<option value="([^"]+)">', client.get(NEW).text) == ["ucb-general", "ucb1_alloc"]


def test_a_form_that_cannot_be_read_is_reported_without_a_link(make_client: MakeClient) -> None:
    text = make_client(form__yml="form: [").get("/pun/sys/dashboard/").text
    assert "did not find expected" in text
    assert "session_contexts/new" not in text


def test_a_launch_without_the_token_is_refused(make_client: MakeClient) -> None:
    assert make_client().post(CREATE, data={field("model"): "tiny"}).status_code == 422


def test_a_refused_launch_shows_the_sentence_and_keeps_the_values(make_client: MakeClient) -> None:
    client = make_client(submit__yml__erb='<% raise "No <model> #{model}." %>')
    text = launch(client, model="other", hours="7", bc_email_on_started="1")
    assert "save: No &lt;model&gt; other." in text
    page = HtmlPage(text)
    assert 'value="other" selected' in text
    assert tag_with_id(page, "hours")["value"] == "7"
    assert "checked" in tag_with_id(page, "bc_email_on_started")


def test_any_string_arrives_but_no_unknown_name(make_client: MakeClient) -> None:
    client = make_client(submit__yml__erb="<% raise [model, fixed, surprise].inspect %>")
    text = launch(client, model="'$(id)` <%= 1 %>", fixed="forged", surprise="x")
    assert "save: [&#34;&#39;$(id)` &lt;%= 1 %&gt;&#34;, &#34;always&#34;, nil]" in text


def test_a_template_with_an_unknown_name_stops_the_launch(make_client: MakeClient) -> None:
    text = launch(make_client(template___x__txt__erb="<%= context.nothing %>"), model="tiny")
    assert "Failed to stage the template" in text
    assert "undefined method" in text


def test_what_sbatch_writes_to_stderr_is_shown(make_client: MakeClient) -> None:
    options = {"batch_system": "slurm", "command_prefix": ("sh", "-c", "echo 'invalid <account>' >&2; exit 1", "-")}
    text = launch(make_client(options), model="tiny")
    assert "Failed to submit session" in text
    assert "<pre>invalid &lt;account&gt;</pre>" in text


def test_form_js_runs_after_the_form_in_a_function_of_its_own(make_client: MakeClient) -> None:
    text = make_client(form__js="if (1 < 2) window.x = '&';").get(NEW).text
    before, _, script = text.partition("</form>")
    assert "window.x" not in before
    assert script.strip().startswith("<script>\n(function(){\nif (1 < 2) window.x = '&';\n}());\n</script>")


def test_an_app_without_form_js_has_no_script(make_client: MakeClient) -> None:
    assert "<script" not in make_client().get(NEW).text


@pytest.mark.parametrize(
    ("bootstrap", "group", "select"), [(5, "mb-3", "form-select"), (4, "form-group", "form-control")]
)
def test_the_form_has_the_classes_of_its_bootstrap(
    make_client: MakeClient, bootstrap: int, group: str, select: str
) -> None:
    page = HtmlPage(make_client({"bootstrap": bootstrap}).get(NEW).text)
    assert tag_with_id(page, "model_wrapper")["class"] == group
    assert tag_with_id(page, "model")["class"] == select
    sheets = [values["href"] for tag, values in page.tags if values.get("rel") == "stylesheet"]
    assert sheets[0] == f"/pun/sys/dashboard/static/vendor/bootstrap-{bootstrap}.min.css"


def test_a_strict_policy_is_sent_only_where_it_is_asked_for(make_client: MakeClient) -> None:
    assert "Content-Security-Policy" not in make_client().get(NEW).headers
    assert "script-src" not in make_client({"strict_csp": True}).get(NEW).headers["Content-Security-Policy"]
    assert "default-src 'self'" in make_client({"strict_csp": True}).get(NEW).headers["Content-Security-Policy"]
