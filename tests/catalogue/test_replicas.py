"""How often GPUs serve a model with the preset for throughput: as many times as it fits on comfortably."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llm_hoster.catalogue.choice import FormValues, choose
from llm_hoster.catalogue.compiled import Catalogue, Verdict
from llm_hoster.catalogue.compiler import compile_catalogue
from llm_hoster.catalogue.fit_command import fit
from llm_hoster.errors import ChoiceError, ConfigError
from tests.catalogue.small_site import CONFIG, DATA_FILE, MODELS, SITE, TWO_NODES, changed, write_small

FOUR = (
    SITE.replace("gpus_per_node: 2", "gpus_per_node: 4")
    .replace("num_gpus: [1, 2]", "num_gpus: [1, 2, 3, 4]")
    .replace("{per_user: 2, total: 4}", "{}")
    .replace("cores_per_gpu: 8", "cores_per_gpu: 4")
    .replace("cores_per_gpu_max: 8", "cores_per_gpu_max: 4")
)
# 17.6 GiB of weights: on one GPU of 24 GiB one or two conversations of 8192 tokens, on two more than enough.
LARGE = CONFIG | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 42, "vocab_size": 32000}
EXPERTS = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}


def compile_at(folder: Path, config: dict[str, Any] = CONFIG, site: str = FOUR, models: str = MODELS) -> Catalogue:
    path = write_small(folder, site, models)
    (folder / "m.json").write_text(json.dumps(DATA_FILE | {"config": config}))
    return compile_catalogue(path, None, folder)[1]


def judged(catalogue: Catalogue, num_gpus: int, preset: str = "throughput") -> Verdict:
    return catalogue.verdict("m", "g", str(num_gpus), f"none/{preset}")


def replicas(catalogue: Catalogue) -> list[int]:
    """Of 1, 2, 3 and 4 GPUs."""
    return [judged(catalogue, count).replicas for count in (1, 2, 3, 4)]


def test_each_gpu_serves_a_model_that_fits_on_one(tmp_path: Path) -> None:
    catalogue = compile_at(tmp_path)
    assert replicas(catalogue) == [1, 2, 3, 4]
    one, four = judged(catalogue, 1), judged(catalogue, 4)
    assert four.people == [4 * each for each in one.people]
    assert four == one.model_copy(update={"people": four.people, "replicas": 4})


@pytest.mark.parametrize("preset", ["interactive", "long-context"])
def test_other_presets_serve_one_model_on_all_gpus(tmp_path: Path, preset: str) -> None:
    catalogue = compile_at(tmp_path)
    assert {judged(catalogue, count, preset).replicas for count in (1, 2, 3, 4)} == {1}
    assert judged(catalogue, 4, preset).weights_gib < judged(catalogue, 1, preset).weights_gib / 3


def test_a_replica_gets_the_gpus_that_it_needs_to_be_comfortable(tmp_path: Path) -> None:
    catalogue = compile_at(tmp_path, LARGE)
    assert judged(catalogue, 1).fits and judged(catalogue, 1).tight
    assert [judged(catalogue, count).replicas for count in (1, 2, 4)] == [1, 1, 2]
    two, four = judged(catalogue, 2), judged(catalogue, 4)
    assert four == two.model_copy(update={"people": [2 * each for each in two.people], "replicas": 2})


def test_three_gpus_that_cannot_share_the_heads_serve_it_three_times(tmp_path: Path) -> None:
    catalogue = compile_at(tmp_path)
    assert not judged(catalogue, 3, "interactive").fits
    assert judged(catalogue, 3).fits


@pytest.mark.parametrize(
    ("config", "site"),
    [
        pytest.param(CONFIG | EXPERTS, FOUR, id="a mixture of experts"),
        pytest.param(CONFIG | {"model_type": "unknown"}, FOUR, id="an estimate"),
        pytest.param(CONFIG, FOUR.replace('accelerator: "cuda"', 'accelerator: "cpu"'), id="no GPU"),
    ],
)
def test_nothing_else_is_served_in_replicas(tmp_path: Path, config: dict[str, Any], site: str) -> None:
    catalogue = compile_at(tmp_path, config, site)
    assert judged(catalogue, 4).fits
    assert replicas(catalogue) == [1, 1, 1, 1]


def test_a_replica_gets_a_number_of_gpus_that_models_yml_allows(tmp_path: Path) -> None:
    site = FOUR.replace("num_gpus: 1, hours", "num_gpus: 2, hours")
    catalogue = compile_at(tmp_path, site=site, models=changed(MODELS, "null", "null\n    num_gpus: [2, 4]"))
    assert (judged(catalogue, 2).replicas, judged(catalogue, 4).replicas) == (1, 2)


def test_several_nodes_serve_one_model_together(tmp_path: Path) -> None:
    catalogue = compile_at(tmp_path, site=TWO_NODES)
    assert [judged(catalogue, count).replicas for count in (1, 2, 4)] == [1, 2, 1]


def test_amds_gpus_serve_replicas_too(tmp_path: Path) -> None:
    catalogue = compile_at(tmp_path, site=FOUR.replace('accelerator: "cuda"', 'accelerator: "rocm"'))
    assert replicas(catalogue) == [1, 2, 3, 4]


@pytest.mark.parametrize("option", ["--data-parallel-size=2", "-dp", "-tp=2", "--tensor_parallel_size"])
def test_arguments_cannot_share_the_gpus_out_otherwise(tmp_path: Path, option: str) -> None:
    arguments = f'null\n    args: ["{option}", "2"]'
    with pytest.raises(ConfigError, match="expected no option that the form or the choice of GPUs decides"):
        compile_at(tmp_path, models=changed(MODELS, "null", arguments))


def test_a_context_that_no_replica_holds_is_refused_and_the_gpus_together_are_named(tmp_path: Path) -> None:
    small = FOUR.replace("memory_gib: 24", "memory_gib: 8")
    catalogue = compile_at(tmp_path, CONFIG | {"max_position_embeddings": 131072}, small)
    longest = judged(catalogue, 4).max_model_len
    assert judged(catalogue, 4).replicas == 4 and longest < 131072 <= judged(catalogue, 4, "interactive").max_model_len
    values = {"model": "m", "gpu_type": "g", "num_gpus": "4", "bc_num_hours": "1", "preset": "throughput"}
    with pytest.raises(ChoiceError) as refused:
        choose(catalogue, FormValues(**values, context_length="131072"))
    assert str(refused.value) == (
        f"Context length 131072 is too long: M has room for {longest} tokens on 4 x G. "
        "Choose the preset «Interactive»: then it fits here."
    )


def test_the_command_says_how_the_gpus_are_shared_out(tmp_path: Path) -> None:
    site = str(write_small(tmp_path, FOUR))
    arguments = ["--gpu-type", "g", "--num-gpus", "4", "--preset", "throughput", "--site", site]
    listed = CliRunner().invoke(fit, ["--model", "m", *arguments]).output
    assert "m fits on 4 x g as 4 replicas, each on 1 GPU: weights 2.1 GiB on each GPU" in listed
    at_once = judged(compile_at(tmp_path), 4).people[-1]
    assert f"Longest context: 32768 tokens ({at_once} at once at that length)." in listed
    # What a person types is judged on the node, which makes no replicas of it.
    folder = tmp_path / "typed"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    assert "fits on 4 x g: weights 0." in CliRunner().invoke(fit, ["--model", str(folder), *arguments]).output
