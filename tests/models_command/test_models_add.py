"""`llm-hoster models add`: an entry that passes all checks, or nothing and a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from llm_hoster.catalogue.choice import FormValues, choose
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.sentences import shown
from tests.catalogue.small_site import CONFIG, MODELS
from tests.models_command.conftest import App, Run
from tests.models_command.model_hub import COMMIT, ModelHub
from tests.models_command.published import INDEX, QWEN3, README, TEMPLATE, weights, write_model

ID = "Qwen/Qwen3-1B"
EMBEDDING = "---\npipeline_tag: sentence-similarity\n---\n"
COMPLETE = {
    "config.json": QWEN3,
    "tokenizer_config.json": TEMPLATE,
    "README.md": README,
    "model.safetensors.index.json": INDEX,
}


def entries(app: App) -> list[dict[str, object]]:
    models: list[dict[str, object]] = yaml.safe_load(app.models.read_text())["models"]
    return models


def test_a_model_of_the_hub_gets_an_entry_and_a_data_file(app: App, hub: ModelHub, run: Run) -> None:
    hub.publish(ID, COMPLETE)
    done = run("add", ID)
    assert done.status == 0, done.output
    assert entries(app)[-1] == {
        "name": "qwen3-1b",
        "title": "Qwen3 1B",
        "source": ID,
        "licence": "Apache 2.0",
        "group": "Reasoning",
        "good_for": "questions that take some thought",
        "config": "configs/qwen--qwen3-1b.json",
        "max_model_len": None,
        "args": ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"],
    }
    page = f"https://huggingface.co/{ID}/blob/{COMMIT}"
    assert json.loads((app.configs / "qwen--qwen3-1b.json").read_text()) == {
        "model": ID,
        "read_from": {"page": f"{page}/config.json"},
        "weights_bytes": 2_000_000_000,
        "weights_read_from": {"page": f"{page}/model.safetensors.index.json"},
        "config": QWEN3,
    }
    assert "Cheapest place: 1 x g, 18.0 SU per hour, context of 32768 tokens." in done.output
    assert "Weights: 1.9 GiB." in done.output
    assert "Guessed: good_for, group, title. Edit them" in done.output
    assert done.output.rstrip().endswith("Next: llm-hoster configure")


def test_only_small_files_are_asked_for_and_all_of_one_version(app: App, hub: ModelHub, run: Run) -> None:
    hub.publish(ID, COMPLETE | {"model-00001-of-00001.safetensors": weights()})
    run("add", ID)
    assert not [name for name in hub.names_asked() if name.endswith(".safetensors")]
    revisions = [path.split("/resolve/")[1].split("/")[0] for path, _ in hub.asked]
    assert revisions == ["main"] + [COMMIT] * (len(revisions) - 1)


def test_the_size_of_a_single_file_is_told_by_its_first_bytes(app: App, hub: ModelHub, run: Run) -> None:
    files = {name: content for name, content in COMPLETE.items() if "index" not in name}
    hub.publish(ID, files | {"model.safetensors": weights(1000)})
    assert run("add", ID).status == 0
    data = json.loads((app.configs / "qwen--qwen3-1b.json").read_text())
    assert data["weights_bytes"] == 1000
    assert data["weights_read_from"]["page"].endswith("/model.safetensors")


def test_added_then_configured_then_chosen(app: App, hub: ModelHub, run: Run) -> None:
    """The whole way in the program itself, as an admin goes it."""
    hub.publish(ID, COMPLETE)
    for arguments in (["models", "add", ID, "--name", "mine"], ["configure"]):
        command = [sys.executable, "-m", "llm_hoster", *arguments]
        done = subprocess.run(command, cwd=app.folder, env={**os.environ}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    catalogue = Catalogue.model_validate_json((app.folder / "catalogue.json").read_text())
    values = FormValues(model="mine", gpu_type="g", num_gpus="1", bc_num_hours="1")
    assert choose(catalogue, values).model.source == ID
    assert "Qwen3 1B" in (app.folder / "form.yml").read_text()


def test_what_people_wrote_into_models_yml_stays_byte_for_byte(app: App, hub: ModelHub, run: Run) -> None:
    before = "# Ours\n\n" + MODELS.replace('title: "M"', "title:   M   # short") + "  # more to come\n"
    app.models.write_text(before)
    app.models.chmod(0o664)
    hub.publish(ID, COMPLETE)
    assert run("add", ID).status == 0
    after = app.models.read_text()
    assert after.startswith(before)
    assert after[len(before) :].startswith('\n  - name: "qwen3-1b"\n    title: "Qwen3 1B"  # guessed: edit it\n')
    assert app.models.stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize(
    ("change", "begins"),
    [
        pytest.param(
            lambda text: text.replace("\n", "\r\n"), b'\r\n  - name: "qwen3-1b"\r\n', id="line ends of Windows"
        ),
        pytest.param(lambda text: text.rstrip("\n"), b'\n\n  - name: "qwen3-1b"\n', id="no end of the last line"),
        pytest.param(
            lambda text: text.replace("\n  ", "\n"), b'\n- name: "qwen3-1b"\n', id="dashes in the first column"
        ),
        pytest.param(
            lambda text: text.replace("\n  ", "\n       "),
            b'\n       - name: "qwen3-1b"\n',
            id="dashes far to the right",
        ),
    ],
)
def test_other_layouts_are_kept(app: App, hub: ModelHub, run: Run, change, begins: bytes) -> None:
    before = change(MODELS).encode()
    app.models.write_bytes(before)
    hub.publish(ID, COMPLETE)
    done = run("add", ID)
    assert done.status == 0, done.output
    after = app.models.read_bytes()
    assert after.startswith(before)
    assert after[len(before) :].startswith(begins)


def test_a_linked_models_yml_stays_a_link(app: App, hub: ModelHub, run: Run) -> None:
    elsewhere = app.folder / "config" / "shared.yml"
    app.models.rename(elsewhere)
    app.models.symlink_to("shared.yml")
    hub.publish(ID, COMPLETE)
    assert run("add", ID).status == 0
    assert app.models.is_symlink()
    assert "qwen3-1b" in elsewhere.read_text()


def test_everything_can_be_said_instead_of_guessed(app: App, hub: ModelHub, run: Run) -> None:
    hub.publish(ID, COMPLETE)
    words = [
        "--name",
        "x",
        "--title",
        'A "fine" one: <b>',
        "--group",
        "New",
        "--good-for",
        "tests",
        "--licence",
        "ours",
    ]
    done = run("add", ID, *words)
    assert done.status == 0, done.output
    said = {"name": "x", "title": 'A "fine" one: <b>', "group": "New", "good_for": "tests", "licence": "ours"}
    assert said.items() <= entries(app)[-1].items()
    assert "guessed" not in app.models.read_text().lower()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--name", "Upper"), ("--name", "other"), ("--title", "two\nlines"), ("--group", " "), ("--licence", "\x00\x00")],
)
def test_a_text_that_models_yml_does_not_take_is_refused_before_anything_is_written(
    app: App, hub: ModelHub, run: Run, option: str, value: str
) -> None:
    hub.publish(ID, COMPLETE)
    before = app.files()
    done = run("add", ID, option, value)
    assert done.status == 1
    assert "expected" in done.output
    assert app.files() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["owner/m"], "has a model named m already. Choose another name with --name", id="name"),
        pytest.param(["owner/m", "--name", "n"], "has owner/m already, as m. Edit that entry", id="source"),
        pytest.param(["nonsense"], "neither a Hugging Face id (owner/name) nor a folder", id="neither"),
        pytest.param(["a/b/c"], "neither a Hugging Face id", id="three parts"),
        pytest.param(["a/\n"], "neither a Hugging Face id", id="control character"),
        pytest.param(["/nowhere/at-all"], "no such folder here", id="no folder"),
    ],
)
def test_what_cannot_be_added_is_refused_without_asking_the_hub(
    app: App, hub: ModelHub, run: Run, arguments: list[str], sentence: str
) -> None:
    done = run("add", *arguments)
    assert done.status == 1
    assert sentence in done.output
    assert hub.asked == []


@pytest.mark.parametrize("name", ["../../x", "..", "/etc/x", "a/../x", "Upper", "x" * 64, "x\n", " "])
def test_a_name_that_is_none_is_refused_before_anything_is_read_or_written(
    app: App, hub: ModelHub, run: Run, name: str
) -> None:
    """A folder's data file is called by it."""
    folder = write_model(app.folder / "models" / "fine")
    before = {path: path.stat().st_mtime_ns for path in app.folder.parent.rglob("*")}
    for source in (str(folder), ID):
        done = run("add", source, "--name", name)
        assert done.status == 1
        assert done.output.startswith(f"--name: found {shown(name)}, expected small letters, digits")
    assert {path: path.stat().st_mtime_ns for path in app.folder.parent.rglob("*")} == before
    assert hub.asked == []


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param({"config.json": "{"}, "config.json is not JSON", id="broken"),
        pytest.param({"config.json": "[]"}, "config.json holds list, expected an object", id="a list"),
        pytest.param({"config.json": "[" * 100000}, "config.json is not JSON", id="deep"),
        pytest.param({"config.json": b" " * (4 * 2**20 + 2)}, "larger than 4 MiB", id="huge"),
        pytest.param({"config.json": QWEN3 | {"architectures": []}}, "names no class", id="no class"),
        pytest.param({"config.json": QWEN3 | {"architectures": ["BertModel"]}}, "neither write nor embed", id="bert"),
        pytest.param({"config.json": QWEN3 | {"is_encoder_decoder": True}}, "neither write nor embed", id="translator"),
        pytest.param({"README.md": "---\npipeline_tag: text-ranking\n---\n"}, "text-ranking", id="reranker"),
        pytest.param(
            {"README.md": EMBEDDING, "config.json": QWEN3 | {"architectures": ["BertModel"]}},
            "neither write nor embed",
            id="embedding of another kind",
        ),
        pytest.param(
            {"config.json": QWEN3 | {"auto_map": {"AutoConfig": "x.C"}}}, "program code out of its own", id="code"
        ),
        pytest.param(
            {"tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["x.T", None]}}}, "AutoTokenizer", id="tokenizer"
        ),
        pytest.param({"config.json": QWEN3 | {"hidden_size": None}}, "has no hidden_size", id="unknown architecture"),
        pytest.param({"config.json": QWEN3 | {"hidden_size": "big"}}, "hidden_size", id="wrong type"),
        pytest.param(
            {"config.json": QWEN3 | {"quantization_config": {"quant_method": "bitsandbytes"}}}, "quant_method", id="bnb"
        ),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_and_nothing_written(
    app: App, hub: ModelHub, run: Run, files: dict[str, object], sentence: str
) -> None:
    hub.publish(ID, COMPLETE | files)
    before = app.files()
    done = run("add", ID)
    assert done.status == 1
    assert sentence in done.output
    assert app.files() == before


def test_a_model_that_embeds_is_added_as_one(app: App, hub: ModelHub, run: Run) -> None:
    hub.publish(ID, COMPLETE | {"README.md": EMBEDDING})
    done = run("add", ID)
    assert done.status == 0, done.output
    assert "the session answers under /v1/embeddings and has no chat" in done.output
    entry = entries(app)[-1]
    assert (entry["task"], entry["group"], entry.get("args")) == ("embed", "Embeddings, for scripts", None)


def test_a_name_tells_that_a_model_embeds_too(app: App, hub: ModelHub, run: Run) -> None:
    hub.publish("lab/Qwen3-Embedding-1B", COMPLETE)
    assert run("add", "lab/Qwen3-Embedding-1B").status == 0
    assert entries(app)[-1]["task"] == "embed"


def test_own_code_that_vllm_does_not_need_is_no_hindrance(app: App, hub: ModelHub, run: Run) -> None:
    config = {**CONFIG, "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "auto_map": {"AutoConfig": "x.C"}}
    hub.publish(ID, COMPLETE | {"config.json": config})
    done = run("add", ID)
    assert done.status == 0, done.output


def test_a_quantised_model_runs_on_nvidia_only(app: App, hub: ModelHub, run: Run) -> None:
    quantization = {"quant_method": "awq", "bits": 4, "group_size": 128}
    hub.publish("Qwen/Qwen3-1B-AWQ", COMPLETE | {"config.json": QWEN3 | {"quantization_config": quantization}})
    assert run("add", "Qwen/Qwen3-1B-AWQ").status == 0
    assert entries(app)[-1]["accelerators"] == ["cuda"]


def test_mistrals_own_layout_is_asked_for(app: App, hub: ModelHub, run: Run) -> None:
    files = {
        "config.json": {**CONFIG, "architectures": ["MistralForCausalLM"], "model_type": "mistral"},
        "params.json": "{}",
        "README.md": README,
        "consolidated.safetensors": weights(500),
    }
    hub.publish("mistralai/Mistral-1B-Instruct", files)
    assert run("add", "mistralai/Mistral-1B-Instruct").status == 0
    layout = ["--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral"]
    parser = ["--enable-auto-tool-choice", "--tool-call-parser", "mistral"]
    assert entries(app)[-1]["args"] == layout + parser
    assert json.loads((app.configs / "mistralai--mistral-1b-instruct.json").read_text())["weights_bytes"] == 500


def test_a_model_without_a_template_for_chats_gets_no_parsers_and_a_word(app: App, hub: ModelHub, run: Run) -> None:
    hub.publish(ID, COMPLETE | {"tokenizer_config.json": {}})
    done = run("add", ID)
    assert done.status == 0
    assert "no template for chats" in done.output
    assert "args" not in entries(app)[-1]


def test_a_template_in_a_file_of_its_own_counts(app: App, hub: ModelHub, run: Run) -> None:
    hub.publish(ID, COMPLETE | {"tokenizer_config.json": {}, "chat_template.jinja": "{{ messages }}"})
    assert "no template" not in run("add", ID).output
    assert "args" in entries(app)[-1]


def test_a_model_that_fits_nowhere_is_added_and_told(app: App, hub: ModelHub, run: Run) -> None:
    files = {"config.json": QWEN3 | {"num_hidden_layers": 900}, "model.safetensors.index.json": "{}"}
    hub.publish(ID, COMPLETE | files)
    done = run("add", ID)
    assert done.status == 0, done.output
    assert "fits on no GPU type of this site" in done.output


def test_an_unknown_licence_is_told(app: App, hub: ModelHub, run: Run) -> None:
    hub.publish(ID, COMPLETE | {"README.md": "# No head\n"})
    assert "Its licence is not in its README.md" in run("add", ID).output
    assert entries(app)[-1]["licence"] == "unknown, look it up"


def test_faults_elsewhere_in_models_yml_stop_it(app: App, hub: ModelHub, run: Run) -> None:
    app.models.write_text(app.models.read_text().replace('"MIT"', '""'))
    hub.publish(ID, COMPLETE)
    before = app.files()
    done = run("add", ID)
    assert (done.status, app.files()) == (1, before)
    assert f"{app.models.relative_to(app.folder)}:5: models[0].licence" in done.output


def test_what_configure_would_refuse_is_not_written_and_the_data_file_is_as_before(
    app: App, hub: ModelHub, run: Run
) -> None:
    """The site's default fits nowhere, so nothing can be compiled."""
    site = app.folder / "config" / "site.yml"
    site.write_text(site.read_text().replace("hours: 1}", "hours: 99}"))
    app.configs.mkdir()
    (app.configs / "qwen--qwen3-1b.json").write_text(json.dumps({"model": ID, "config": {}}))
    hub.publish(ID, COMPLETE)
    before = app.files()
    done = run("add", ID)
    assert (done.status, app.files()) == (1, before)
    assert "models.yml: nothing is written, because then:" in done.output
    assert "defaults" in done.output


def test_what_somebody_else_writes_meanwhile_is_not_lost(app: App, hub: ModelHub, run: Run) -> None:
    def edit(_: object) -> bool:
        app.models.write_text(MODELS + "# by somebody else\n")
        return False

    hub.publish(ID, COMPLETE)
    hub.misbehave = edit
    done = run("add", ID)
    assert done.status == 1
    assert "somebody changed it just now" in done.output
    assert app.models.read_text() == MODELS + "# by somebody else\n"
    assert list(app.configs.iterdir()) == []


def test_a_list_in_brackets_is_refused(app: App, hub: ModelHub, run: Run) -> None:
    entry = {"name": "m", "title": "M", "source": "owner/m", "licence": "MIT", "group": "T", "good_for": "t"}
    app.models.write_text(json.dumps({"models": [entry | {"config": "m.json", "max_model_len": None}]}))
    hub.publish(ID, COMPLETE)
    before = app.files()
    done = run("add", ID)
    assert (done.status, app.files()) == (1, before)
    assert "write each model as an item with a dash" in done.output


def test_a_data_file_of_another_model_is_not_overwritten(app: App, hub: ModelHub, run: Run) -> None:
    app.configs.mkdir()
    (app.configs / "qwen--qwen3-1b.json").write_text(json.dumps({"model": "Other/Model", "config": {}}))
    hub.publish(ID, COMPLETE)
    done = run("add", ID)
    assert done.status == 1
    assert "is the file of Other/Model" in done.output


@pytest.mark.parametrize("kind", ["absolute", "relative", "variable"])
def test_a_folder_is_added_by_its_path(app: App, run: Run, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    folder = write_model(app.folder / "models" / "My Model <%= 1 %> 'x'")
    monkeypatch.setenv("MODELS", str(folder.parent))
    given = {"absolute": str(folder), "relative": f"./models/{folder.name}", "variable": f"$MODELS/{folder.name}"}[kind]
    done = run("add", given)
    assert done.status == 0, done.output
    entry = entries(app)[-1]
    assert entry["source"] == (given if kind == "variable" else str(folder))
    assert (entry["name"], entry["title"]) == ("my-model-1-x-", "My Model 1 x")
    data = json.loads((app.configs / "my-model-1-x-.json").read_text())
    assert data["weights_bytes"] == 24
    assert data["read_from"] == data["weights_read_from"] == {"folder": str(folder)}


def test_as_json_it_names_what_it_wrote(app: App, run: Run, tiny_model: Path) -> None:
    document = run("add", str(tiny_model), "--json").document
    assert (document["name"], document["models_file"]) == ("tiny", str(app.models))
    assert Path(document["config_file"]).is_file()
    assert document["remarks"][-1] == "Next: llm-hoster configure"


def test_the_tiny_model_is_added_from_its_folder(app: App, run: Run, tiny_model: Path) -> None:
    done = run("add", str(tiny_model), "--licence", "MIT")
    assert done.status == 0, done.output
    assert entries(app)[-1]["args"] == ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    data = json.loads((app.configs / "tiny.json").read_text())
    header = int.from_bytes((tiny_model / "model.safetensors").read_bytes()[:8], "little")
    assert data["weights_bytes"] == (tiny_model / "model.safetensors").stat().st_size - 8 - header


def test_a_folder_with_pipes_instead_of_files_is_not_waited_for(app: App, run: Run) -> None:
    folder = write_model(app.folder / "models" / "pipes")
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    done = run("add", str(folder))
    assert done.status == 1
    assert "expected a file with weights" in done.output
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "has no config.json" in run("add", str(folder)).output
