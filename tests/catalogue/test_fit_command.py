"""`llm-hoster fit`: the answer for a name, an id and a folder, and its agreement with the table of the form."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llm_hoster.catalogue.compiled import Engine
from llm_hoster.catalogue.compiler import compile_catalogue, load_site
from llm_hoster.catalogue.fit_command import fit
from llm_hoster.catalogue.sentences import fill
from llm_hoster.engine.vllm.command import lasting_environment
from llm_hoster.errors import ArchitectureError, ChoiceError, ConfigError
from llm_hoster.hub import Hub
from llm_hoster.hub_cache import cache_of, caches_of
from tests.catalogue.small_site import CONFIG, MODELS, SITE, changed, write_small
from tests.conftest import MakeCatalogue

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = [
    "fits",
    "reason",
    "weights_bytes",
    "kv_cache_bytes_per_token",
    "kv_cache_bytes_available",
    "max_model_len",
    "replicas",
    "suggestion",
    "is_estimate",
]
# 2 embeddings, 16 x (q, o, k, v, 3 matrices of the MLP, 2 norms), the last norm; 2 bytes each.
WEIGHTS = 2 * (2 * 32000 * 2048 + 16 * (2 * 2048**2 + 2 * 2048 * 512 + 3 * 2048 * 8192 + 2 * 2048) + 2048)
# Keys and values of 8 heads x 64 in 16 layers.
KV_PER_TOKEN = 2 * 8 * 64 * 16 * 2


def run(*arguments: str) -> Result:
    return CliRunner().invoke(fit, arguments, catch_exceptions=True)


def answer(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.exception
    return dict(json.loads(result.output))


def test_a_model_of_the_catalogue_is_answered_in_these_keys(tmp_path: Path) -> None:
    site = str(write_small(tmp_path))
    found = answer("--model", "m", "--gpu-type", "g", "--num-gpus", "1", "--site", site)
    assert list(found) == KEYS
    assert (found["fits"], found["reason"], found["max_model_len"], found["suggestion"]) == (True, "", 32768, None)
    assert (found["weights_bytes"], found["kv_cache_bytes_per_token"]) == (WEIGHTS, KV_PER_TOKEN)
    assert 16 * 2**30 < found["kv_cache_bytes_available"] < 24 * 2**30 - WEIGHTS
    assert answer("--model", "owner/m", "--gpu-type", "g", "--site", site) == found


def test_a_folder_needs_only_a_config(tmp_path: Path) -> None:
    site = str(write_small(tmp_path))
    folder = tmp_path / "some model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    by_name = answer("--model", "m", "--gpu-type", "g", "--site", site)
    assert answer("--model", str(folder), "--gpu-type", "g", "--site", site) == by_name


def test_an_id_is_found_in_the_cache_of_the_person_and_in_that_of_the_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "own"))
    site = write_small(tmp_path)
    site.write_text(changed(site.read_text(), '"/cache"', f'"{tmp_path}/sessions"'))
    with pytest.raises(ChoiceError, match="some/thing is not in the Hugging Face cache"):
        raise run("--model", "some/thing", "--gpu-type", "g", "--site", str(site)).exception  # type: ignore[misc]
    # The person's own is looked into last, because vLLM does not take the model from there.
    for cache, layers in (("own", 8), ("sessions/huggingface", 16), ("named", 4)):
        repository = tmp_path / cache / ("" if cache == "named" else "hub") / "models--some--thing"
        (repository / "snapshots" / "abc").mkdir(parents=True)
        config = CONFIG | {"num_hidden_layers": layers}
        (repository / "snapshots" / "abc" / "config.json").write_text(json.dumps(config))
        if cache == "named":
            monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "named"))
        found = answer("--model", "some/thing", "--gpu-type", "g", "--site", str(site))
        assert found["kv_cache_bytes_per_token"] == KV_PER_TOKEN * layers // 16


def test_the_first_cache_is_the_one_of_vllm_in_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_catalogue: MakeCatalogue
) -> None:
    engine = Engine.model_validate(make_catalogue()["engines"][0])
    path = write_small(tmp_path)
    path.write_text(changed(path.read_text(), '"/cache"', f'"{tmp_path}/sessions"'))
    site = load_site(path)
    for variable in (None, "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"):
        if variable:
            monkeypatch.setenv(variable, str(tmp_path / variable))
        environment = lasting_environment(os.environ, engine, Path(site.cache_dir), hf_offline=False)
        assert caches_of(site.cache_dir, os.environ)[0] == Hub.from_environment(environment).cache
        assert caches_of(site.cache_dir, os.environ)[-1] == cache_of(os.environ)


@pytest.mark.parametrize("index", ['{"weight_map": [1]}', '{"weight_map": {"a": {}}}'])
def test_a_folder_with_an_odd_index_is_told(tmp_path: Path, index: str) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "odd" / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ArchitectureError, match=r"index\.json: expected in `weight_map`"):
        raise run("--model", str(tmp_path / "odd"), "--gpu-type", "g", "--site", str(write_small(tmp_path))).exception  # type: ignore[misc]


def test_the_snapshot_that_main_names_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    repository = tmp_path / "hub" / "models--some--thing"
    for name, layers in (("old", 8), ("main-one", 16), ("newest", 4)):
        (repository / "snapshots" / name).mkdir(parents=True)
        (repository / "snapshots" / name / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers}))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("main-one")
    site = str(write_small(tmp_path))
    assert answer("--model", "some/thing", "--gpu-type", "g", "--site", site)["weights_bytes"] == WEIGHTS


def test_what_does_not_fit_is_told_with_the_cheapest_place_that_holds_it() -> None:
    found = answer("--model", "llama-3.3-70b", "--gpu-type", "a100-40gb", "--num-gpus", "1")
    assert not found["fits"]
    assert found["reason"].startswith("does not fit: it needs ")
    assert found["suggestion"] == {
        "gpu_type": "a100_80gb",
        "num_gpus": 2,
        "quantization": "none",
        "preset": "interactive",
        "su_per_hour": 237.2,
    }
    text = run("--model", "llama-3.3-70b", "--gpu-type", "a100-40gb").output
    assert text.startswith("llama-3.3-70b on 1 x a100-40gb does not fit: it needs ")
    assert "Cheapest place that holds it: 2 x a100_80gb, 237.2 SU per hour." in text


def test_a_context_that_is_too_long_names_the_longest_that_fits(tmp_path: Path) -> None:
    site = str(write_small(tmp_path))
    assert answer("--model", "m", "--gpu-type", "g", "--max-model-len", "32768", "--site", site)["fits"]
    found = answer("--model", "m", "--gpu-type", "g", "--max-model-len", "32769", "--site", site)
    assert (found["fits"], found["reason"]) == (False, "has a context of 32768 tokens: 32769 is too long")


def test_a_model_keeps_to_the_accelerators_of_models_yml(tmp_path: Path) -> None:
    only_rocm = changed(MODELS, "null", 'null\n    accelerators: ["rocm"]')
    found = answer("--model", "m", "--gpu-type", "g", "--site", str(write_small(tmp_path, models=only_rocm)))
    assert (found["fits"], found["reason"]) == (False, "does not run on this kind of GPU")


@pytest.mark.parametrize(
    ("model", "gpu_type", "error", "message"),
    [
        (
            "no such model",
            "g",
            ChoiceError,
            '"no such model" is neither a model of .*, nor a folder, nor a Hugging Face',
        ),
        ("m", "x", ConfigError, "GPU type 'x' is not in site.yml"),
        (".", "g", ArchitectureError, "config.json: cannot be read"),
    ],
)
def test_wrong_names_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, gpu_type: str, error: type[Exception], message: str
) -> None:
    site = write_small(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(error, match=message):
        raise run("--model", model, "--gpu-type", gpu_type, "--site", str(site)).exception  # type: ignore[misc]


def test_the_command_and_the_table_of_the_form_agree_everywhere() -> None:
    catalogue = compile_catalogue(REPOSITORY / "config" / "site.yml", None, REPOSITORY)[1]
    asked = 0
    for model in catalogue.models[::4]:
        for gpu_type, num_gpus in catalogue.places[::3]:
            for variant in ("none/interactive", "none/throughput", "fp8_per_tensor/long-context"):
                quantization, preset = variant.split("/")
                verdict = catalogue.verdict(model.name, gpu_type, num_gpus, variant)
                found = answer(
                    *("--model", model.name, "--gpu-type", gpu_type, "--num-gpus", num_gpus),
                    *("--quantization", quantization, "--preset", preset),
                )
                assert found["fits"] is verdict.fits
                assert (found["max_model_len"], found["replicas"]) == (verdict.max_model_len, verdict.replicas)
                if verdict.refusal:
                    assert found["reason"] == fill(catalogue.sentences[verdict.refusal.kind], verdict.refusal.values)
                asked += 1
    assert asked > 60


def test_without_a_gpu_the_memory_is_not_judged_as_in_the_form() -> None:
    site = str(REPOSITORY / "config" / "sites" / "local.yml")
    found = answer("--model", "tiny", "--gpu-type", "cpu", "--site", site)
    assert (found["fits"], found["reason"], found["suggestion"]) == (True, "", None)
    assert found["weights_bytes"] > 0
    assert "the memory of the job is not judged" in run("--model", "tiny", "--gpu-type", "cpu", "--site", site).output


def test_a_model_that_fits_only_in_another_quantisation_is_told_so() -> None:
    found = answer("--model", "llama-3.1-405b", "--gpu-type", "h200", "--num-gpus", "4")
    assert not found["fits"]
    assert (found["suggestion"]["gpu_type"], found["suggestion"]["quantization"]) == ("h200", "fp8_per_tensor")


def test_a_context_that_only_another_preset_holds_is_told_so(tmp_path: Path) -> None:
    # A small share of the memory, so that the model's whole context has no room.
    one = changed(changed(SITE, "num_gpus: [1, 2]", "num_gpus: [1]"), "memory_gib: 24", "memory_gib: 12")
    one = changed(one, 'accelerator: "cuda"}', 'accelerator: "cuda", args: ["--gpu-memory-utilization", "0.24"]}')
    asked = ("--model", "m", "--gpu-type", "g", "--quantization", "fp8_per_tensor")
    asked += ("--site", str(write_small(tmp_path, one)))
    longest = answer(*asked)["max_model_len"]
    assert 2048 < longest < 30000
    suggestion = answer(*asked, "--max-model-len", str(longest + 1000))["suggestion"]
    assert (suggestion["quantization"], suggestion["preset"]) == ("fp8_per_tensor", "long-context")


def test_a_cap_in_models_yml_holds_here_too(tmp_path: Path) -> None:
    site = str(write_small(tmp_path, models=changed(MODELS, "null", "4096")))
    assert answer("--model", "m", "--gpu-type", "g", "--site", site)["max_model_len"] == 4096
    found = answer("--model", "m", "--gpu-type", "g", "--max-model-len", "4097", "--site", site)
    assert (found["fits"], found["reason"]) == (
        False,
        "does not fit with a context of 4097 tokens: at most 4096 have room",
    )


def test_the_note_of_a_gpu_type_is_told() -> None:
    assert "vLLM does not list it as supported" in run("--model", "qwen3-4b", "--gpu-type", "mi100").output


def test_a_smaller_share_of_the_memory_in_the_engines_arguments_counts(tmp_path: Path) -> None:
    site = write_small(tmp_path)
    whole = answer("--model", "m", "--gpu-type", "g", "--site", str(site))["kv_cache_bytes_available"]
    less = 'accelerator: "cuda", args: ["--gpu-memory-utilization=0.5"]}'
    site.write_text(changed(site.read_text(), 'accelerator: "cuda"}', less))
    half = answer("--model", "m", "--gpu-type", "g", "--site", str(site))["kv_cache_bytes_available"]
    assert whole - half == pytest.approx(24 * 2**30 * (0.92 - 0.5), abs=2)
