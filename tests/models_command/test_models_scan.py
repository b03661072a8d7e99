"""`llm-hoster models scan`: what lies in a folder that others filled, written where everybody can read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from llm_hoster.fit.configuration import read_data_file
from tests.models_command.conftest import Run
from tests.models_command.published import QWEN3, write_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "hf-transformers"
    folder.mkdir()
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "prefix" / "found" / "models.yml"


def found(output: Path) -> list[dict[str, object]]:
    models: list[dict[str, object]] = yaml.safe_load(output.read_text())["models"]
    return models


def test_every_model_is_found_with_its_own_description(run: Run, root: Path, output: Path, tiny_model: Path) -> None:
    write_model(root / "Qwen3-1B")
    write_model(root / "gemma" / "deep" / "Qwen3-2B-Instruct")
    (root / "tiny").symlink_to(tiny_model)
    done = run("scan", str(root), "--output", str(output))
    assert done.status == 0, done.output
    entries = found(output)
    assert [entry["name"] for entry in entries] == ["qwen3-1b", "qwen3-2b-instruct", "tiny"]
    assert entries[0]["source"] == str(root / "Qwen3-1B")
    assert entries[0]["licence"] == "Apache 2.0"
    data = read_data_file(output.parent / str(entries[0]["config"]))
    assert (data.config, data.weights_bytes) == (QWEN3, 24)


def test_everybody_may_read_what_it_writes(run: Run, root: Path, output: Path) -> None:
    write_model(root / "Qwen3-1B")
    before = os.umask(0o077)
    try:
        run("scan", str(root), "--output", str(output))
    finally:
        os.umask(before)
    written = [path for path in output.parent.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in written} == {0o644}
    folders = {output.parent, output.parent.parent, *(path.parent for path in written)}
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o755}
    assert not [path for path in written if path.name.startswith(".")]


def test_a_second_scan_replaces_the_first_and_is_the_same_to_the_byte(run: Run, root: Path, output: Path) -> None:
    write_model(root / "Qwen3-1B")
    run("scan", str(root), "--output", str(output))
    first = output.read_bytes()
    run("scan", str(root), "--output", str(output))
    assert output.read_bytes() == first
    write_model(root / "Qwen3-2B")
    run("scan", str(root), "--output", str(output))
    assert len(found(output)) == 2


def test_the_cache_of_the_hub_gives_the_version_that_vllm_takes(run: Run, root: Path, output: Path) -> None:
    repository = root / "hub" / "models--Qwen--Qwen3-1B"
    for commit in ("a" * 40, "b" * 40):
        write_model(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    run("scan", str(root), "--output", str(output))
    assert [(each["name"], each["title"], each["source"]) for each in found(output)] == [
        ("qwen3-1b", "Qwen3 1B", str(repository / "snapshots" / ("a" * 40)))
    ]


def test_two_folders_of_one_name_both_get_one(run: Run, root: Path, output: Path) -> None:
    write_model(root / "a" / "Qwen3-1B")
    write_model(root / "b" / "Qwen3-1B")
    run("scan", str(root), "--output", str(output))
    assert [entry["name"] for entry in found(output)] == ["qwen3-1b", "qwen3-1b-2"]
    assert len({entry["config"] for entry in found(output)}) == 2


def test_other_layouts_below_a_model_are_not_models(run: Run, root: Path, output: Path) -> None:
    write_model(root / "Qwen3-1B")
    write_model(root / "Qwen3-1B" / "original")
    write_model(root / ".hidden" / "Qwen3-2B")
    run("scan", str(root), "--output", str(output))
    assert len(found(output)) == 1


def test_links_in_a_circle_end(run: Run, root: Path, output: Path) -> None:
    write_model(root / "a" / "Qwen3-1B")
    (root / "a" / "back").symlink_to(root)
    (root / "a" / "self").symlink_to("self")
    done = run("scan", str(root), "--output", str(output))
    assert done.status == 0
    assert len(found(output)) == 1


def test_what_is_too_deep_is_told(run: Run, root: Path, output: Path) -> None:
    write_model(root / "Qwen3-1B")
    write_model(root.joinpath(*"abcdefg", "Qwen3-2B"))
    done = run("scan", str(root), "--output", str(output))
    assert "not looked into, more than 6 folders deep" in done.output
    assert len(found(output)) == 1


def test_what_cannot_be_read_or_served_is_named(run: Run, root: Path, output: Path) -> None:
    write_model(root / "Qwen3-1B")
    write_model(root / "embedding", QWEN3 | {"architectures": ["BertModel"]})
    (write_model(root / "broken") / "config.json").write_text("{")
    write_model(root / "odd\nname")
    (write_model(root / "pipe") / "model.safetensors").unlink()
    os.mkfifo(root / "pipe" / "model.safetensors")
    done = run("scan", str(root), "--output", str(output))
    assert done.status == 0
    for sentence in (
        "embedding: does neither write nor",
        "broken: config.json is not JSON",
        "an odd name",
        "pipe/model",
    ):
        assert sentence in done.output
    assert len(found(output)) == 1


@pytest.mark.parametrize(
    "index", ['{"weight_map": [1]}', '{"weight_map": {"a": {}}}', '{"weight_map": {"a": "/root/x"}}']
)
def test_a_folder_with_an_odd_index_does_not_stop_the_others(run: Run, root: Path, output: Path, index: str) -> None:
    (write_model(root / "A-odd") / "model.safetensors.index.json").write_text(index)
    write_model(root / "Qwen3-1B")
    done = run("scan", str(root), "--output", str(output))
    assert done.status == 0, done.output
    assert f"left out: {root}/A-odd/model.safetensors.index.json: expected in `weight_map`" in done.output
    assert [entry["name"] for entry in found(output)] == ["qwen3-1b"]


@pytest.mark.parametrize("name", ["config.json", "README.md", "tokenizer_config.json", "model.safetensors.index.json"])
def test_a_pipe_is_not_waited_for(run: Run, root: Path, output: Path, name: str) -> None:
    (write_model(root / "Qwen3-1B") / name).unlink(missing_ok=True)
    os.mkfifo(root / "Qwen3-1B" / name)
    write_model(root / "Qwen3-2B")
    done = run("scan", str(root), "--output", str(output))
    assert done.status == 0, done.output
    # What a model may lack is as if it were not there.
    expected = ["qwen3-2b"] if name == "config.json" else ["qwen3-1b", "qwen3-2b"]
    assert [entry["name"] for entry in found(output)] == expected


def test_a_cache_without_a_reference_gives_its_only_version_and_tells_where_there_are_several(
    run: Run, root: Path, output: Path
) -> None:
    write_model(root / "models--Qwen--Qwen3-1B" / "snapshots" / ("a" * 40))
    for commit in "ab":
        write_model(root / "models--Qwen--Qwen3-2B" / "snapshots" / (commit * 40))
    done = run("scan", str(root), "--output", str(output))
    assert [entry["name"] for entry in found(output)] == ["qwen3-1b"]
    assert f"not looked into, refs/main names none of its versions: {root}/models--Qwen--Qwen3-2B" in done.output


def test_hostile_names_and_licences_become_harmless(run: Run, root: Path, output: Path) -> None:
    readme = '---\nlicense: "x\\"\\n  - name: evil <%= `id` %>"\n---\n'
    write_model(root / "<%= system('id') %> \"quoted\": {a: &b} 模型", readme=readme)
    done = run("scan", str(root), "--output", str(output))
    assert done.status == 0, done.output
    (entry,) = found(output)
    assert "<" not in f"{entry['title']}{entry['licence']}{entry['name']}"
    assert entry["source"] == str(root / "<%= system('id') %> \"quoted\": {a: &b} 模型")


@pytest.mark.parametrize("folder", ["/nowhere/at-all", "relative", "$UNSET_VARIABLE/x"])
def test_a_folder_that_is_not_there_is_told(run: Run, output: Path, folder: str) -> None:
    done = run("scan", folder, "--output", str(output))
    assert done.status == 1
    assert "no such folder on" in done.output


def test_a_folder_without_models_leaves_the_former_list(run: Run, root: Path, output: Path) -> None:
    model = write_model(root / "Qwen3-1B")
    run("scan", str(root), "--output", str(output))
    (model / "config.json").unlink()
    done = run("scan", str(root), "--output", str(output))
    assert done.status == 1
    assert "stays as it is" in done.output
    assert len(found(output)) == 1


def test_a_variable_of_the_node_is_filled_in(
    run: Run, root: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(root / "Qwen3-1B")
    monkeypatch.setenv("CURC_LLM_DIR", str(root.parent))
    assert run("scan", "$CURC_LLM_DIR/hf-transformers", "--output", str(output)).status == 0
    assert found(output)[0]["source"] == str(root / "Qwen3-1B")


def test_an_output_that_cannot_be_written_is_told(run: Run, root: Path) -> None:
    write_model(root / "Qwen3-1B")
    done = run("scan", str(root), "--output", "/proc/nowhere/models.yml")
    assert done.status == 1
    assert "cannot be written" in done.output


def test_the_batch_script_runs_it_with_the_variables_of_the_node(run: Run, root: Path, output: Path) -> None:
    write_model(root / "Qwen3-1B")
    script = Path(__file__).resolve().parents[2] / "deploy" / "scan-models.sbatch"
    program = Path(sys.executable).with_name("llm-hoster")
    environment = {**os.environ, "CURC_LLM_DIR": str(root.parent)}
    arguments = ["bash", str(script), str(program), "$CURC_LLM_DIR/hf-transformers", str(output)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(found(output)) == 1
    assert subprocess.run(arguments[:3], capture_output=True, timeout=60).returncode == 2


def test_as_json_it_names_the_models_alone(run: Run, root: Path, output: Path) -> None:
    write_model(root / "Qwen3-1B")
    (root / "broken").mkdir()
    (root / "broken" / "config.json").write_text("no JSON")
    (root / "broken" / "model.safetensors").write_bytes(b"")
    document = run("scan", str(root), "--output", str(output), "--json").document
    assert document["models"] == [{"name": "qwen3-1b", "source": str(root / "Qwen3-1B")}]
    assert len(document["left_out"]) == 1
