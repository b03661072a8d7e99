"""From a form to the staged folder and the batch system's command line."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from portal.batch_app import BatchApp
from portal.batch_session import SessionStore
from portal.dashboard import create_app
from portal.jobs import JobRequest
from portal.launch import launch, merged, submit_options
from portal.settings import PortalSettings
from portal.slurm import sbatch_arguments, seconds, word_of
from tests.portal.conftest import MakeSettings


def launched(settings: PortalSettings, **values: str) -> Path:
    app = BatchApp.from_folder(settings.app_root, settings.token)
    session = launch(settings, app, app.context() | values)
    return SessionStore(settings).staged_root(session)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_templates_are_rendered_with_their_modes_and_without_their_extension(make_settings: MakeSettings) -> None:
    settings = make_settings(
        template___sub___run_script__sh__erb="<%= context.model %> <%= session.app.root.basename %>",
        template___plain__txt="<%= kept %>",
    )
    staged_root = launched(settings, model="tiny")
    assert (staged_root / "sub" / "run_script.sh").read_text() == "tiny app"
    assert mode(staged_root / "sub" / "run_script.sh") == 0o755
    assert (staged_root / "plain.txt").read_text() == "<%= kept %>"
    assert not list(staged_root.rglob("*.erb"))


def test_the_session_is_named_in_templates(make_settings: MakeSettings) -> None:
    staged_root = launched(make_settings(template___id__erb="<%= session.id %>|<%= session.staged_root %>"))
    assert (staged_root / "id").read_text() == f"{staged_root.name}|{staged_root}"


def test_the_folder_takes_the_templates_mode_and_its_parents_are_closed(make_settings: MakeSettings) -> None:
    settings = make_settings()
    (settings.app_root / "template").chmod(0o755)
    staged_root = launched(settings)
    assert mode(staged_root) == 0o755
    assert mode(settings.data_root) == mode(staged_root.parent) == 0o700


def test_links_stay_links_and_editor_files_stay_behind(make_settings: MakeSettings) -> None:
    settings = make_settings(template___a__txt="a")
    template = settings.app_root / "template"
    (template / ".a.txt.swp").write_text("")
    (template / "link").symlink_to("../elsewhere")
    staged_root = launched(settings)
    assert os.readlink(staged_root / "link") == "../elsewhere"
    assert not (staged_root / ".a.txt.swp").exists()


def test_ondemands_own_files_lie_beside_the_apps(make_settings: MakeSettings) -> None:
    staged_root = launched(make_settings(), model="tiny")
    context = staged_root / "user_defined_context.json"
    assert mode(context) == 0o644
    assert json.loads(context.read_text())["model"] == "tiny"
    assert "fixed" not in json.loads(context.read_text())
    assert (staged_root / "job_script_content.sh").exists()
    assert json.loads((staged_root / "job_script_options.json").read_text())["native"] == ["--nodes=1"]


def test_a_fixed_attribute_reaches_the_templates_and_is_neither_shown_nor_saved(make_settings: MakeSettings) -> None:
    settings = make_settings(
        form__yml='form: [model, form_version, asked]\nattributes: {form_version: "0e12", asked: true}',
        template___seen__txt__erb="<%= context.form_version %> <%= context.asked %>",
        submit__yml__erb="script: {native: [<%= form_version %>, <%= asked.class %>]}",
    )
    staged_root = launched(settings, model="tiny")
    assert (staged_root / "seen.txt").read_text() == "0e12 true"
    assert json.loads((staged_root / "user_defined_context.json").read_text()) == {"model": "tiny"}
    assert json.loads((staged_root / "job_script_options.json").read_text())["native"] == ["0e12", "String"]
    page = (
        create_app(settings).test_client().get("/pun/sys/dashboard/batch_connect/sys/llm_hoster/session_contexts/new")
    )
    assert "context[model]" in page.text
    assert "form_version" not in page.text


def test_attributes_give_options_and_submit_wins(make_settings: MakeSettings) -> None:
    settings = make_settings(submit__yml__erb="script: {wall_time: 60, native: [b]}")
    app = BatchApp.from_folder(settings.app_root, settings.token)
    context = app.context() | {"bc_num_hours": "3", "bc_account": "ucb", "bc_email_on_started": "1"}
    expected = {"wall_time": 60, "accounting_id": "ucb", "email_on_started": True, "native": ["b"]}
    assert submit_options(app, context, "/s")["script"] == expected


def test_maps_are_merged_and_arrays_replaced() -> None:
    assert merged({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}, "d": 3}) == {"a": {"b": 1, "c": [2]}, "d": 3}


def test_sbatch_is_called_as_ondemand_calls_it() -> None:
    options = {
        "qos": "long",
        "wall_time": 90061,
        "accounting_id": "ucb",
        "queue_name": "aa100",
        "email_on_started": True,
        "native": ["--gres=gpu:a:1", "-n1"],
    }
    line = sbatch_arguments(JobRequest("", Path("/s t"), "ood/sys/dashboard/sys/x", options))
    assert line == [
        "sbatch", "-D", "/s t", "--mail-type", "BEGIN", "-J", "ood/sys/dashboard/sys/x", "-o", "output.log",
        "-p", "aa100", "-A", "ucb", "-t", "25:01:01", "--qos", "long", "--export", "NONE",
        "--gres=gpu:a:1", "-n1", "--parsable",
    ]  # fmt: skip


def test_slurms_times_and_states_are_understood() -> None:
    assert [seconds(text) for text in ("1-02:00:03", "10:05", "7", "INVALID")] == [93603, 605, 7, None]
    assert [word_of(state) for state in ("PENDING", "RUNNING", "COMPLETING", "TIMEOUT", "SUSPENDED")] == [
        "queued", "running", "running", "completed", "undetermined",
    ]  # fmt: skip
