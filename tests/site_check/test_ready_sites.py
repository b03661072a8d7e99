"""The sites that come ready-made: complete, without faults, and explained."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from llm_hoster.catalogue.compiled import Catalogue, Network
from llm_hoster.catalogue.compiler import compile_catalogue
from llm_hoster.catalogue.site import Allocation, Defaults, Engine, GpuType, Partition, Qos, Site
from llm_hoster.launch.form import render_form

REPOSITORY = Path(__file__).resolve().parents[2]
SITES = ["config/site.yml", *sorted(f"config/sites/{path.name}" for path in (REPOSITORY / "config/sites").iterdir())]


@cache
def compiled(name: str) -> tuple[Site, Catalogue]:
    return compile_catalogue(REPOSITORY / name, None, REPOSITORY)


@pytest.mark.parametrize("name", SITES)
def test_a_site_is_configured_as_it_stands(name: str) -> None:
    site, catalogue = compiled(name)
    assert "form:" in render_form(site, catalogue).text
    assert site.defaults.model in {model.name for model in catalogue.models}


@pytest.mark.parametrize("name", SITES)
def test_a_site_is_explained(name: str) -> None:
    assert f"`{name}`" in (REPOSITORY / "docs" / "sites.md").read_text()


@pytest.mark.parametrize("name", SITES)
def test_every_gpu_type_says_what_it_can(name: str) -> None:
    site, _ = compiled(name)
    accelerators = {engine.name: engine.accelerator for engine in site.engines}
    for gpu_type in site.gpu_types:
        is_nvidia = accelerators[gpu_type.engine] == "cuda"
        assert (gpu_type.compute_capability is not None) == is_nvidia, gpu_type.name
        assert gpu_type.memory_gib < 200


def test_alpine_has_its_allocations_and_no_command_that_is_not_documented() -> None:
    site, _ = compiled("config/site.yml")
    assert [(each.accounts, each.su, each.period) for each in site.allocations] == [
        ("*-general", 2000, "month"),
        ("*_asc*", 450000, "year"),
        ("*_peak*", 7500000, "year"),
    ]
    assert (site.balance_command, site.portal_command) == ([], None)


def test_the_h100_machines_offer_one_machine_and_both_and_know_their_network() -> None:
    site, catalogue = compiled("config/sites/azure-h100.yml")
    assert [(gpu_type, list(counts)) for gpu_type, counts in catalogue.offers.items()] == [("h100-nvl", ["1", "2"])]
    both = catalogue.offers["h100-nvl"]["2"]
    assert (both.nodes, both.gres, both.cores, both.exclusive) == (2, "gpu:h100:1", 40, True)
    assert catalogue.site.network == Network(interface="eth0", private=False, env={"NCCL_IB_DISABLE": "1"})
    assert site.gpu_types[0].memory_gib == 93
    names = {model.name for model in catalogue.models}
    assert "gpt-oss-120b" in names
    assert "llama-3.1-405b-fp8" not in names


def test_the_v100_machine_offers_nothing_that_needs_newer_gpus() -> None:
    _, catalogue = compiled("config/sites/v100-teaching.yml")
    assert catalogue.gpu_types[0].compute_capability == 7.0
    assert list(catalogue.offers["v100"]) == ["1", "2", "4"]
    names = {model.name for model in catalogue.models}
    assert {"llama-3.2-1b", "qwen3-4b", "llama-3.1-8b"} <= names
    assert not {name for name in names if name.endswith("fp8") or name.startswith("gpt-oss")}


def test_the_template_names_every_field() -> None:
    text = (REPOSITORY / "config/sites/generic.yml").read_text()
    values = yaml.safe_load(text)
    assert set(values) == set(Site.model_fields)
    assert set(values["defaults"]) == set(Defaults.model_fields)
    for field, model in (
        ("allocations", Allocation),
        ("engines", Engine),
        ("partitions", Partition),
        ("qos", Qos),
        ("gpu_types", GpuType),
    ):
        assert set(values[field][0]) == set(model.model_fields), field
