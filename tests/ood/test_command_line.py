"""`llm-hoster launch` stages, submits and refuses what Ruby does at the portal's Launch, byte by byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llm_hoster.catalogue.choice import Choice, FormValues
from llm_hoster.errors import ChoiceError, ConfigError
from llm_hoster.launch_command.app_files import read_app
from llm_hoster.launch_command.command import launch
from llm_hoster.launch_command.form_values import form_values as values_of_options
from llm_hoster.launch_command.slurm_options import script_options
from llm_hoster.launch_command.staging import render_script, render_session, stage
from portal.batch_app import BatchApp
from portal.staging import stage as stage_as_ondemand
from tests.ood.hostile import HOSTILE
from tests.ood.launches import form_values, load, python_choice, submit, submit_all
from tests.ood.renderer import render, render_all

TINY = {"model": "tiny", "gpu_type": "cpu", "num_gpus": "1", "bc_num_hours": "1"}
# What OnDemand leaves beside the template's files: for its card, and for its own job script.
OF_THE_CARD = {"user_defined_context.json"}
OF_THE_JOB = {"job_script_content.sh", "job_script_options.json"}


@pytest.mark.parametrize("app_name", ["local_app", "alpine_app"])
def test_the_folder_is_the_portals(request: pytest.FixtureRequest, app_name: str, tmp_path: Path) -> None:
    """Of somebody who only presses Launch; the portal's part is done by its stand-in, with rsync and Ruby."""
    app: Path = request.getfixturevalue(app_name)
    batch_app = BatchApp.from_folder(app, "sys/llm_hoster")
    context = batch_app.context()
    session = {"app_root": str(app), "staged_root": str(tmp_path / "portal")}
    stage_as_ondemand(app / "template", tmp_path / "portal", batch_app.user_defined(context), context, session)

    files = read_app(app)
    stage(files, values_of_options(files, {"hours": None}), {}, tmp_path / "ours").write()

    portals = {path.name: path.read_bytes() for path in (tmp_path / "portal").iterdir()}
    ours = {path.name: path.read_bytes() for path in (tmp_path / "ours").iterdir()}
    assert {name: portals[name] for name in portals if name not in OF_THE_CARD} == {
        name: ours[name] for name in ours if name not in OF_THE_JOB
    }
    assert ours.keys() - portals.keys() == OF_THE_JOB
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "ours", *(tmp_path / "ours").iterdir()]}
    assert {name for name, mode in modes.items() if mode == 0o700} == {"ours", "script.sh"}
    assert {mode for name, mode in modes.items() if name not in ("ours", "script.sh")} == {0o600}


def test_whatever_was_typed_is_written_as_ruby_writes_it(local_app: Path) -> None:
    document = json.loads((local_app / "catalogue.json").read_text())
    file = str(local_app / "template" / "session.json.erb")
    contexts = [TINY | {"model": "other", "typed_model": value, "lora_folder": value} for value in HOSTILE]
    answers = render_all(
        {"file": file, "kind": "template", "values": {"app": str(local_app), "context": context}}
        for context in contexts
    )
    for context, answer in zip(contexts, answers, strict=True):
        assert render_session(document, FormValues(**context)) == answer["text"]


@pytest.mark.parametrize(
    "prefix", ["/opt/llm-hoster", "/projects/$USER/llm-hoster/", "/o'neil's $USER \"x\"/$(id)/`id`", "/日本 + é,@:=~"]
)
def test_the_script_names_the_app_as_ruby_quotes_it(own_local_app: Path, prefix: str) -> None:
    document: dict[str, Any] = json.loads((own_local_app / "catalogue.json").read_text())
    document["site"]["prefix"] = prefix
    (own_local_app / "catalogue.json").write_text(json.dumps(document))
    template = own_local_app / "template" / "script.sh.erb"
    answer = render(template, "template", {"app": str(own_local_app), "context": TINY})
    assert render_script(template, prefix, document["site"]["app"]) == answer["text"]


def test_a_template_that_a_site_has_changed_in_ruby_is_not_guessed_at(own_local_app: Path) -> None:
    template = own_local_app / "template"
    script = (template / "script.sh.erb").read_text()
    (template / "script.sh.erb").write_text(script + "export SITE=<%= session.cluster_id %>\n")
    with pytest.raises(ConfigError, match=r"found an ERB tag .* Launch from the portal's form"):
        stage(read_app(own_local_app), FormValues(**TINY), {}, own_local_app / "x")
    (template / "script.sh.erb").write_text(script)
    (template / "banner.txt").write_bytes(b"\xff")
    (template / ".banner.txt.swp").touch()
    staged = stage(read_app(own_local_app), FormValues(**TINY), {}, own_local_app / "x")
    assert (staged.files["banner.txt"], ".banner.txt.swp" in staged.files) == (b"\xff", False)
    (template / "clean.sh.erb").write_text("")
    with pytest.raises(ConfigError, match=r"clean\.sh\.erb: found what this command cannot stage"):
        stage(read_app(own_local_app), FormValues(**TINY), {}, own_local_app / "x")


def test_every_place_and_qos_is_asked_for_as_the_portal_does(alpine_app: Path) -> None:
    catalogue = load(alpine_app)
    sent = [
        form_values(
            model=next(
                model.name
                for model in catalogue.models
                if catalogue.verdict(model.name, gpu_type, num_gpus, "none/interactive").fits
            ),
            gpu_type=gpu_type,
            num_gpus=num_gpus,
            bc_num_hours=str(qos.max_hours),
            reservation="course-2026",
        )
        for gpu_type, offers in catalogue.offers.items()
        for num_gpus, offer in offers.items()
        for qos in offer.qos
    ]
    for values, answer in zip(sent, submit_all(alpine_app, sent), strict=True):
        choice = python_choice(catalogue, values)
        assert isinstance(choice, Choice), choice
        assert script_options(choice) == answer["yaml"]["script"]


def test_gpus_of_two_nodes_are_asked_for_as_the_portal_does(own_app: Path) -> None:
    file = own_app / "catalogue.json"
    document: dict[str, Any] = json.loads(file.read_text())
    two = {"nodes": 2, "gres": "gpu:h200:2", "constraint": "ib&(x86|arm)", "exclusive": True}
    document["offers"]["h200"]["4"] |= two
    file.write_text(json.dumps(document))
    values = form_values(gpu_type="h200", num_gpus="4", auto_accounts="")
    choice = python_choice(load(own_app), values)
    assert isinstance(choice, Choice), choice
    assert script_options(choice) == submit(own_app, values)["yaml"]["script"]


REFUSED = [
    (["--model", "gpt-9"], {"model": "gpt-9"}),
    (["--model", "../x"], {"model": "other", "typed_model": "../x"}),
    (["--model", "qwen3-235b-fp8"], {"model": "qwen3-235b-fp8"}),
    (["--gpu", "h300"], {"gpu_type": "h300"}),
    (["--num-gpus", "many"], {"num_gpus": "many"}),
    (["--hours", "0.5"], {"bc_num_hours": "0.5"}),
    (["--hours", "900"], {"bc_num_hours": "900"}),
    (["--qos", "fast"], {"qos": "fast"}),
    (["--account", "-A x"], {"auto_accounts": "-A x"}),
    (["--reservation", "a,b"], {"reservation": "a,b"}),
    (["--context-length", "1000"], {"context_length": "1000"}),
    (["--quantization", "int1"], {"quantization": "int1"}),
    (["--preset", "fast"], {"preset": "fast"}),
    (["--lora-folder", "here"], {"lora_folder": "here"}),
    (["--idle-minutes", "-1"], {"idle_minutes": "-1"}),
    (["--chain", "99"], {"chain_length": "99"}),
]


def test_what_the_form_refuses_is_refused_in_its_words(alpine_app: Path) -> None:
    base = {"gpu_type": "a100_80gb", "auto_accounts": ""}
    expected = [answer["error"] for answer in submit_all(alpine_app, [form_values(**base | v) for _, v in REFUSED])]
    for (options, _), sentence in zip(REFUSED, expected, strict=True):
        arguments = ["--app", str(alpine_app), "--gpu", "a100_80gb", "--hours", "4", "--dry-run", *options]
        result = CliRunner().invoke(launch, arguments)
        assert isinstance(result.exception, ChoiceError), (options, result.output)
        assert str(result.exception) == sentence
