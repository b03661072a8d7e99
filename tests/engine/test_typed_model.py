"""A model that the person typed: judged on the node in seconds, and refused in the words of the form."""

from __future__ import annotations

import json
import os
import time

import pytest

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.engine.model import typed_model
from llm_hoster.engine.model.typed_model import check_typed_model, find_configuration, require_folder
from llm_hoster.errors import ChoiceError, SessionError
from llm_hoster.fit.fit import SENTENCES
from llm_hoster.hub import Hub
from llm_hoster.session import Session
from tests.engine.small_hub import small_hub

# Llama 3.1 8B: 8.03e9 weights of 2 bytes, and 128 KiB for each token of context.
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "vocab_size": 128256,
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "max_position_embeddings": 131072, "tie_word_embeddings": False,
}  # fmt: skip
ID = "org/model"
CONFIG_PATH = f"/{ID}/resolve/main/config.json"
INDEX_PATH = f"/{ID}/resolve/main/model.safetensors.index.json"
GPU_TYPES = {"slice": 16.0, "small": 23.0, "large": 80.0}


@pytest.fixture
def choose(make_catalogue):
    """Choose a typed model on one GPU type of three."""

    def make(source, gpu_type="large", **context):
        catalogue = make_catalogue(engine={"accelerator": "cuda"}, site={"hf_offline": False})
        (cpu,) = catalogue["gpu_types"]
        place = catalogue["offers"]["cpu"]["1"]
        catalogue |= {
            "gpu_types": [
                cpu
                | {"name": name, "title": f"NVIDIA {name}", "memory_gib": memory_gib, "compute_capability": 9.0}
                | {"is_slice": name == "slice"}
                for name, memory_gib in GPU_TYPES.items()
            ],
            "offers": {name: {"1": place} for name in GPU_TYPES},
            "places": [[name, "1"] for name in GPU_TYPES],
            "context_lengths": [4096, 131072],
            "sentences": catalogue["sentences"] | dict(SENTENCES),
            "fits": {},
        }
        values = {
            "model": "other",
            "typed_model": str(source),
            "gpu_type": gpu_type,
            "num_gpus": "1",
            "bc_num_hours": "1",
        }
        return Session.from_context(Catalogue.model_validate_json(json.dumps(catalogue)), values | context)

    return make


@pytest.fixture
def environment(tmp_path):
    return {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": "http://127.0.0.1:1"}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "my model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(LLAMA))
    return path


def test_a_model_that_fits_is_let_through(choose, environment, folder, capfd):
    assert check_typed_model(choose(folder), environment) == LLAMA
    assert f"model: {folder} fits, with room for 131072 tokens of context." in capfd.readouterr().out


def test_a_model_that_does_not_fit_is_refused_with_the_cheapest_place_that_holds_it(choose, environment, folder):
    with pytest.raises(ChoiceError) as error:
        check_typed_model(choose(folder, "slice"), environment)
    sentence = str(error.value)
    assert sentence.startswith(f"Model {folder} ")
    assert "1 x NVIDIA slice" in sentence
    assert "GiB on each GPU" in sentence
    assert sentence.endswith("Choose 1 x NVIDIA small, the cheapest that holds it.")


def test_a_context_that_does_not_fit_is_refused_with_the_longest_that_does(choose, environment, folder):
    check_typed_model(choose(folder, "small", context_length="4096"), environment)
    with pytest.raises(
        ChoiceError, match=r"^Context length 131072 is too long: .* has room for \d+ tokens on 1 x NVIDIA small"
    ):
        check_typed_model(choose(folder, "small", context_length="131072"), environment)


def test_what_the_form_says_of_quantisation_and_preset_counts(choose, environment, folder):
    check_typed_model(choose(folder, "slice", quantization="fp8_per_tensor"), environment)
    lengths = {}
    for preset in ("interactive", "long-context"):
        with pytest.raises(ChoiceError) as error:
            check_typed_model(choose(folder, "small", preset=preset, context_length="131072"), environment)
        lengths[preset] = int(str(error.value).partition("room for ")[2].split()[0])
    assert lengths["long-context"] > 1.9 * lengths["interactive"]


@pytest.mark.parametrize(
    ("gpu_type", "advice"),
    [
        ("large", "Choose the quantisation «FP8 while loading»: then it fits here."),
        ("small", "Choose the quantisation «FP8 while loading» and 1 x NVIDIA large."),
    ],
)
def test_where_only_another_quantisation_helps_it_is_named(choose, environment, folder, gpu_type, advice):
    (folder / "config.json").write_text(json.dumps(LLAMA | {"num_hidden_layers": 200}))
    with pytest.raises(ChoiceError) as error:
        check_typed_model(choose(folder, gpu_type), environment)
    assert str(error.value).endswith(f". {advice}")


def test_no_choice_holds_a_model_that_is_too_large(choose, environment, folder):
    (folder / "config.json").write_text(json.dumps(LLAMA | {"num_hidden_layers": 1000}))
    with pytest.raises(ChoiceError, match=r"No choice of this site holds it for these hours"):
        check_typed_model(choose(folder), environment)


def test_a_rough_count_refuses_nothing(choose, environment, folder, capfd):
    unknown = LLAMA | {"architectures": ["NewForCausalLM"], "model_type": "new"}
    (folder / "config.json").write_text(json.dumps(unknown))
    assert check_typed_model(choose(folder, "slice"), environment) == unknown
    assert "Its architecture is not known layer by layer." in capfd.readouterr().out


def test_a_model_in_the_cache_is_not_asked_for(choose, environment, folder, tmp_path):
    repository = tmp_path / "hf" / "hub" / "models--org--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / "abc")
    with pytest.raises(ChoiceError, match=f"Model {ID} .*1 x NVIDIA slice"):
        check_typed_model(choose(ID, "slice"), environment | {"HF_HUB_OFFLINE": "1"})


def test_the_cache_of_the_person_comes_after_that_of_vllm(choose, environment, folder, tmp_path):
    """As `llm-hoster fit` looks: a description counts wherever it lies."""
    for cache, layers in (("hf/hub", 32), ("own", 1000)):
        snapshot = tmp_path / cache / "models--org--model" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(json.dumps(LLAMA | {"num_hidden_layers": layers}))
    found = [find_configuration(ID, Hub.from_environment(environment), [tmp_path / "own"]).config]
    (tmp_path / "hf/hub/models--org--model/snapshots/abc/config.json").unlink()
    found.append(find_configuration(ID, Hub.from_environment(environment), [tmp_path / "own"]).config)
    assert [config["num_hidden_layers"] for config in found] == [32, 1000]


def test_of_a_model_on_the_hub_two_small_files_are_asked_for(choose, environment):
    with small_hub() as hub:
        hub.files = {CONFIG_PATH: json.dumps(LLAMA).encode(), INDEX_PATH: b'{"metadata": {"total_size": 16060522496}}'}
        with pytest.raises(ChoiceError, match=f"Model {ID} .*1 x NVIDIA slice"):
            check_typed_model(choose(ID, "slice"), environment | {"HF_ENDPOINT": hub.address})
        assert [path for path, _ in hub.asked] == [CONFIG_PATH, INDEX_PATH]


@pytest.mark.parametrize(
    "index", [404, b"x", b"[]", b'{"metadata": 1}', b'{"metadata": {"total_size": "1"}}', b'{"metadata": [1]}']
)
def test_without_an_index_the_configuration_has_to_do(choose, environment, index):
    with small_hub() as hub:
        hub.files = {CONFIG_PATH: json.dumps(LLAMA).encode(), INDEX_PATH: index}
        assert check_typed_model(choose(ID), environment | {"HF_ENDPOINT": hub.address}) == LLAMA


def test_the_size_in_the_index_counts(choose, environment):
    with small_hub() as hub:
        index = {"metadata": {"total_size": 100 * 2**30}}
        hub.files = {CONFIG_PATH: json.dumps(LLAMA).encode(), INDEX_PATH: json.dumps(index).encode()}
        with pytest.raises(ChoiceError, match=f"Model {ID} .*1 x NVIDIA large"):
            check_typed_model(choose(ID), environment | {"HF_ENDPOINT": hub.address})


def test_a_size_that_no_model_has_is_not_believed(choose, environment):
    with small_hub() as hub:
        for size in (-(10**30), 10**30, True, 0):
            index = json.dumps({"metadata": {"total_size": size}}).encode()
            hub.files = {CONFIG_PATH: json.dumps(LLAMA).encode(), INDEX_PATH: index}
            found = find_configuration(ID, Hub.from_environment(environment | {"HF_ENDPOINT": hub.address}))
            assert found.weights_bytes is None


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param({CONFIG_PATH: 401}, "it answered with status 401", id="no access"),
        pytest.param({CONFIG_PATH: b"<html>"}, "config.json of org/model: not JSON", id="no JSON"),
        pytest.param(
            {CONFIG_PATH: b"[1]"}, "config.json of org/model: expected a JSON object, found list", id="no object"
        ),
        pytest.param({CONFIG_PATH: b"{}"}, "", id="unknown architecture"),
    ],
)
def test_what_cannot_be_judged_is_left_to_vllm_and_said(choose, environment, capfd, files, sentence):
    with small_hub() as hub:
        hub.files = files
        check_typed_model(choose(ID, "slice"), environment | {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_secret"})
    output = capfd.readouterr().out
    assert "model: Nobody knows yet whether org/model fits, vLLM will tell." in output
    assert sentence in output
    assert "hf_secret" not in output


def test_a_site_that_is_offline_asks_nobody(choose, environment, capfd):
    with small_hub() as hub:
        assert check_typed_model(choose(ID), environment | {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "1"}) is None
        assert hub.asked == []
    assert "org/model is not in the cache" in capfd.readouterr().out


def test_a_hub_that_does_not_answer_costs_seconds(choose, environment, monkeypatch):
    monkeypatch.setattr(typed_model, "FETCH_TIMEOUT_S", 1.0)
    with small_hub() as hub:
        hub.files = {CONFIG_PATH: 30.0}
        began = time.monotonic()
        assert check_typed_model(choose(ID), environment | {"HF_ENDPOINT": hub.address}) is None
        assert time.monotonic() - began < 2.5


def test_a_folder_that_is_not_there_ends_at_once(choose, environment, tmp_path):
    with pytest.raises(
        SessionError, match=r"nowhere: the model's folder does not exist on the node .* compute nodes see"
    ):
        check_typed_model(choose(tmp_path / "nowhere"), environment)


def test_a_folder_that_may_not_be_read_ends_at_once(short_dir):
    """Asked by a process of another user where the tests run as root, whom no mode keeps out."""
    short_dir.chmod(0o755)
    folder = short_dir / "private"
    folder.mkdir(mode=0o000)
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            require_folder(folder)
        except SessionError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    folder.chmod(0o700)


def test_a_folder_without_a_configuration_is_left_to_vllm(choose, environment, folder, capfd):
    (folder / "config.json").unlink()
    assert check_typed_model(choose(folder), environment) is None
    assert "vLLM will tell" in capfd.readouterr().out
