"""What is staged for the node: session.json is data whatever the form says, and the scripts are sound shell."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from llm_hoster.catalogue.choice import Choice, FormValues
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.errors import ChoiceError
from llm_hoster.session import Session
from tests.ood.hostile import HOSTILE, MARK
from tests.ood.launches import form_values, load, python_choice
from tests.ood.renderer import INSTALL, render, render_all

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.name for path in (REPOSITORY / "template").glob("*.sh*"))
FORM = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
FIELDS = [field.name for field in fields(FormValues)]


def render_sessions(app: Path, contexts: list[dict[str, str]]) -> list[dict[str, Any]]:
    file = str(app / "template" / "session.json.erb")
    return render_all(
        {"file": file, "kind": "template", "values": {"app": str(app), "context": context}} for context in contexts
    )


def render_session(app: Path, context: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(render_sessions(app, [context])[0]["text"])
    return document


def test_the_staged_session_is_read_again_on_the_node(local_app: Path, tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    file.write_text(json.dumps(render_session(local_app, FORM)))
    session = Session.from_file(file)
    assert (session.model.name, session.offer.cores, session.hours, session.su_estimate) == ("tiny", 2, 1, 2.0)


def test_a_field_that_was_not_sent_is_staged_with_pythons_default(local_app: Path) -> None:
    assert render_session(local_app, {})["context"] == asdict(FormValues())


@pytest.mark.parametrize("field", ["auto_accounts", "bc_account"])
def test_the_account_is_staged_whatever_ondemand_calls_it(local_app: Path, field: str) -> None:
    assert render_session(local_app, FORM | {field: "ucb-general"})["context"]["account"] == "ucb-general"


def test_the_fits_of_the_chosen_model_are_staged_and_those_of_the_others_here(alpine_app: Path) -> None:
    """A session may switch to another model, on the GPUs that it has."""
    catalogue = json.loads((alpine_app / "catalogue.json").read_text())
    for model in ("qwen3-8b", "other"):
        values = form_values(model=model, typed_model="owner/name")
        staged = render_session(alpine_app, values)
        type_name, count = values["gpu_type"], str(values["num_gpus"])
        here = {name: {type_name: {count: fits[type_name][count]}} for name, fits in catalogue["fits"].items()}
        own = {model: catalogue["fits"][model]} if model in catalogue["fits"] else {}
        assert staged["catalogue"] == catalogue | {"fits": here | own}


def test_a_model_that_the_person_typed_is_staged_as_typed(local_app: Path) -> None:
    staged = render_session(local_app, FORM | {"model": "other", "typed_model": "/projects/jo/o'neil's <b>"})
    session = Session.from_context(Catalogue.model_validate(staged["catalogue"]), staged["context"])
    assert session.model.source == "/projects/jo/o'neil's <b>"


@pytest.mark.parametrize("field", FIELDS)
def test_a_hostile_value_stays_data_and_is_judged_on_the_node_as_at_launch(local_app: Path, field: str) -> None:
    sent = "bc_account" if field == "account" else field
    contexts = [FORM | {sent: value} for value in HOSTILE]
    catalogue = load(local_app)
    for context, answer in zip(contexts, render_sessions(local_app, contexts), strict=True):
        document = json.loads(answer["text"])
        assert document["context"] == asdict(FormValues()) | FORM | {field: context[sent]}
        expected = python_choice(catalogue, context)
        if isinstance(expected, Choice):
            Session.from_context(catalogue, document["context"])
            continue
        with pytest.raises(ChoiceError) as refused:
            Session.from_context(catalogue, document["context"])
        assert str(refused.value) == expected
    assert not MARK.exists()


def test_a_choice_that_the_form_does_not_make_is_refused_on_the_node(local_app: Path, tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    file.write_text(json.dumps(render_session(local_app, FORM | {"bc_num_hours": "25"})))
    with pytest.raises(ChoiceError, match='Number of hours "25" is not possible on 1 x No GPU'):
        Session.from_file(file)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    "prefix", ["/opt/llm-hoster", "/projects/$USER/llm-hoster", "/o'neil's $USER \"x\"/$(id)/`id`"]
)
def test_a_script_renders_and_passes_bash_and_shellcheck(own_app: Path, tmp_path: Path, name: str, prefix: str) -> None:
    catalogue = json.loads((own_app / "catalogue.json").read_text())
    catalogue["site"]["prefix"] = prefix
    (own_app / "catalogue.json").write_text(json.dumps(catalogue))
    script = own_app / "template" / name
    if script.suffix == ".erb":
        answer = render(script, "template", {"app": str(own_app), "context": FORM})
        assert answer["error"] is None
        script = tmp_path / script.stem
        script.write_text(answer["text"])
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False).stderr == ""
    if shutil.which("shellcheck") is None:
        pytest.fail(f"shellcheck is missing. Run: {INSTALL}")
    found = subprocess.run(["shellcheck", "-s", "bash", script], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_all_three_scripts_are_there() -> None:
    assert [name.removesuffix(".erb") for name in SCRIPTS] == ["after.sh", "before.sh", "script.sh"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_reads_no_value_of_the_form(name: str) -> None:
    for tag in re.findall(r"<%(?!#).*?%>", (REPOSITORY / "template" / name).read_text(), re.DOTALL):
        assert "context" not in re.sub(r"#.*", "", tag)


def test_the_script_that_ondemand_executes_is_executable() -> None:
    script = next(name for name in SCRIPTS if name.startswith("script.sh"))
    assert (REPOSITORY / "template" / script).stat().st_mode & stat.S_IXUSR
