"""A wrong site.yml or models.yml: every fault with file, line, field, what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_hoster.catalogue.compiler import compile_catalogue
from llm_hoster.errors import ConfigError
from tests.catalogue.small_site import MODELS, SITE, changed, write_small


def compile_texts(folder: Path, site: str = SITE, models: str = MODELS) -> list[str]:
    """Give the faults, without the folder's name."""
    path = write_small(folder, site, models)
    try:
        compile_catalogue(path, None, folder)
    except ConfigError as error:
        return str(error).replace(f"{folder}/", "").splitlines()
    return []


def test_the_files_that_the_faults_are_put_into_have_none(tmp_path: Path) -> None:
    assert compile_texts(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('name: "Site"', 'name: ""', 'site.yml:1: name: found "", expected one line of text that is not empty'),
        ('name: "Site"', "name: 3", "site.yml:1: name: found 3, expected a valid string"),
        ('cluster: "c"\n', "", "site.yml:1: cluster: found nothing, expected this field"),
        ('cluster: "c"', 'cluster: "c\\nd"', 'site.yml:2: cluster: found "c\\nd", expected a name of Slurm: letters, '),
        ("https://example.org", "javascript:x", 'site.yml:3: support_url: found "javascript:x", expected an address '),
        ('node_dir: "/tmp"', 'node_dir: "tmp"', 'site.yml:8: node_dir: found "tmp", expected an absolute path on the '),
        (
            'node_dir: "/tmp"',
            'node_dir: "/a-folder-whose-name-is-long"',
            'site.yml:8: node_dir: found "/a-folder-whose-name-is-long", expected at most 26 characters (sockets lie ',
        ),
        ('proxy: "node"', 'proxy: "nodes"', "site.yml:9: proxy: found \"nodes\", expected 'rnode' or 'node'"),
        ("last: 60000", "last: 70000", "site.yml:10: ports.last: found 70000, expected less than or equal to 65535"),
        ("last: 60000", "last: 30000", "site.yml:10: ports.last: found 30000, expected a port not below the first, "),
        ("ports: {first: 40000, last: 60000}", "ports: 1", "site.yml:10: ports: found 1, expected a group of fields"),
        ("hf_offline: false", 'hf_offline: "no"', 'site.yml:11: hf_offline: found "no", expected a valid boolean'),
        ("hf_offline: false", "hf_ofline: false", "site.yml:11: hf_ofline: found false, expected no such field; the "),
        # --- the kinds of GPUs and how many ---
        (
            "compute_capability: 8.0",
            'compute_capability: "8.9"',
            'site.yml:27: gpu_types[0].compute_capability: found "8.9", expected a valid number',
        ),
        (
            "compute_capability: 8.0",
            "compute_capability: 89",
            "site.yml:27: gpu_types[0].compute_capability: found 89, expected less than or equal to 20",
        ),
        (
            "compute_capability: 8.0",
            "compute_capability: 0",
            "site.yml:27: gpu_types[0].compute_capability: found 0, expected greater than or equal to 1",
        ),
        (
            "memory_gib: 24",
            "memory_gib: .inf",
            "site.yml:26: gpu_types[0].memory_gib: found Infinity, expected a finite ",
        ),
        (
            "compute_capability: 8.0",
            'compute_capability: 8.0\n    is_slice: "yes"',
            'site.yml:28: gpu_types[0].is_slice: found "yes", expected a valid boolean',
        ),
        (
            "compute_capability: 8.0",
            "compute_capability: 8.0\n    is_slice: true",
            "site.yml:30: gpu_types[0].num_gpus[1]: found 2, expected 1, because slices of a GPU cannot work together",
        ),
        (
            'gres: "g"',
            'gres: "g"\n    constraint: "a b;c"',
            'site.yml:26: gpu_types[0].constraint: found "a b;c", expected a constraint of sbatch',
        ),
        (
            'gres: "g"',
            'gres: "g:1"',
            'site.yml:25: gpu_types[0].gres: found "g:1", expected a type of gres.conf: letters',
        ),
        (
            "num_gpus: [1, 2]",
            "num_gpus: [1, 2]\n    max_nodes: 0",
            "site.yml:30: gpu_types[0].max_nodes: found 0, expected greater than or equal to 1",
        ),
        (
            "num_gpus: [1, 2]",
            "num_gpus: [1, 2, 3]\n    max_nodes: 2",
            "site.yml:29: gpu_types[0].num_gpus[2]: found 3, expected whole nodes of 2 GPUs, at most max_nodes ",
        ),
        (
            "num_gpus: [1, 2]",
            "num_gpus: [1, 2, 6]\n    max_nodes: 2",
            "site.yml:29: gpu_types[0].num_gpus[2]: found 6, expected whole nodes of 2 GPUs, at most max_nodes ",
        ),
        # --- several nodes ---
        (
            "num_gpus: [1, 2]\n    cores_per_gpu: 8\n    cores_per_gpu_max: 8\n    qos: {q: {per_user: 2, total: 4}}",
            "num_gpus: [1, 2, 4]\n    max_nodes: 2\n    cores_per_gpu: 8\n    cores_per_gpu_max: 8\n    qos: {q: {}}",
            "site.yml:30: gpu_types[0].max_nodes: found 2, expected 1, or `network` with the interface on which the ",
        ),
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nnetwork: {interface: "ib0;ls"}',
            'site.yml:14: network.interface: found "ib0;ls", expected a network interface as `ip address` names it',
        ),
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nnetwork: {interface: "ib0", private: "yes"}',
            'site.yml:14: network.private: found "yes", expected a valid boolean',
        ),
        # --- money ---
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nallocations: [{accounts: "*", su: 0, period: "year"}]',
            "site.yml:14: allocations[0].su: found 0, expected greater than 0",
        ),
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nallocations: [{accounts: "", su: 1, period: "year"}]',
            'site.yml:14: allocations[0].accounts: found "", expected one line of text that is not empty',
        ),
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nallocations: [{accounts: "*", su: 1}]',
            "site.yml:14: allocations[0].period: found nothing, expected this field",
        ),
        (
            "core_weight: 1.0",
            "core_weight: 1.0\nallocations: {accounts: x}",
            'site.yml:14: allocations: found {"accounts": "x"}, expected a valid list',
        ),
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nbalance_command: "suuser --all"',
            'site.yml:14: balance_command: found "suuser --all", expected a valid list',
        ),
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nbalance_command: ["suuser", ""]',
            'site.yml:14: balance_command[1]: found "", expected one argument ',
        ),
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nportal_command: "bin/llm-hoster"',
            'site.yml:14: portal_command: found "bin/llm-hoster", expected an absolute path',
        ),
        (
            "core_weight: 1.0",
            'core_weight: 1.0\nlogin_host: "-oProxyCommand=x"',
            'site.yml:14: login_host: found "-oProxyCommand=x", expected the name of a host in small letters, without https://',
        ),
        (
            ", hours: 1}",
            ", hours: 1, idle_minutes: -1}",
            "site.yml:14: defaults.idle_minutes: found -1, expected greater than or equal to 0",
        ),
        (
            ", hours: 1}",
            ", hours: 1, idle_minutes: 1441}",
            "site.yml:14: defaults.idle_minutes: found 1441, expected less than or equal to 1440",
        ),
        (
            ", hours: 1}",
            ', hours: 1, idle_minutes: "1"}',
            'site.yml:14: defaults.idle_minutes: found "1", expected a valid integer',
        ),
        (
            ", hours: 1}",
            ", hours: 1, minutes: 1}",
            "site.yml:14: defaults.minutes: found 1, expected no such field; the ",
        ),
        ("charge: 1}", "charge: -1}", "site.yml:20: qos[0].charge: found -1, expected greater than or equal to 0"),
        (
            "max_hours: 24,",
            "max_hours: 0,",
            "site.yml:20: qos[0].max_hours: found 0, expected greater than or equal to 1",
        ),
        ('app: "1"', 'app: "../1"', 'site.yml:5: app: found "../1", expected '),
        ('account: "bc_account"', 'account: "me"', "site.yml:12: account: found \"me\", expected 'auto_accounts' or "),
        (
            'accelerator: "cuda"',
            'accelerator: "tpu"',
            "site.yml:16: engines[0].accelerator: found \"tpu\", expected 'cuda'",
        ),
        (
            'accelerator: "cuda"',
            'accelerator: "cuda", env: {"A B": "x"}',
            'site.yml:16: engines[0].env.A B.[key]: found "A B", expected the name of an environment variable',
        ),
        ("core_weight: 1.0", "core_weight: -1", "site.yml:13: core_weight: found -1, expected greater than or equal "),
        ("core_weight: 1.0", "core_weight: .nan", "site.yml:13: core_weight: found NaN, expected a finite number"),
        (
            'kind: "venv"',
            'kind: "module"',
            "site.yml:16: engines[0].target: found null, expected the module's name or ",
        ),
        (
            "gpus_per_node: 2",
            "gpus_per_node: two",
            'site.yml:18: partitions[0].gpus_per_node: found "two", expected a ',
        ),
        ("charge: 1}", "charge: 1, colour: 2}", "site.yml:20: qos[0].colour: found 2, expected no such field; the "),
        ('  - name: "g"', '  - name: "G;"', 'site.yml:22: gpu_types[0].name: found "G;", expected small letters, '),
        ('partition: "p"', 'partition: "x"', 'site.yml:24: gpu_types[0].partition: found "x", expected one of the '),
        ('gres: "g"', "gres: null", "site.yml:29: gpu_types[0].num_gpus[1]: found 2, expected 1, because gres is null"),
        ("num_gpus: [1, 2]", "num_gpus: []", "site.yml:29: gpu_types[0].num_gpus: found [], expected "),
        (
            "[1, 2]",
            "[1, 4]",
            "site.yml:29: gpu_types[0].num_gpus[1]: found 4, expected at most 2, the GPUs of one node ",
        ),
        (
            "{per_user: 2, total: 4}",
            "{per_user: 1}",
            "site.yml:29: gpu_types[0].num_gpus[1]: found 2, expected a number that one of its qos gives to one ",
        ),
        (
            "{per_user: 2, total: 4}",
            "{per_user: 5, total: 4}",
            "site.yml:32: gpu_types[0].qos.q.per_user: found 5, expected at most the total, 4",
        ),
        (
            "{per_user: 2, total: 4}",
            "2",
            "site.yml:32: gpu_types[0].qos.q: found 2, expected a group of fields",
        ),
        (
            "memory_per_core_gb: 4",
            "memory_per_core_gb: 0.13",
            "site.yml:30: gpu_types[0].cores_per_gpu: found 8, expected cores with 1 GiB of memory or more on p, ",
        ),
        (
            'cache_dir: "/cache"',
            'cache_dir: "~/cache"',
            'site.yml:6: cache_dir: found "~/cache", expected a path that begins with $HOME instead of ~',
        ),
        (
            'prefix: "/sw"',
            'prefix: "~me/sw"',
            'site.yml:4: prefix: found "~me/sw", expected a path that begins with $HOME instead of ~',
        ),
        (
            'node_dir: "/tmp"',
            'node_dir: "~/tmp"',
            'site.yml:8: node_dir: found "~/tmp", expected an absolute path on the nodes, which may begin with $USER ',
        ),
        (
            'kind: "venv"',
            'kind: "apptainer", target: "~/vllm.sif"',
            'site.yml:16: engines[0].target: found "~/vllm.sif", expected a path that begins with $HOME instead of ~',
        ),
        (
            "cores_per_node: 16",
            "cores_per_node: 8",
            "site.yml:29: gpu_types[0].num_gpus[1]: found 2, expected no more ",
        ),
        ("cores_per_gpu: 8", "cores_per_gpu: 9", "site.yml:30: gpu_types[0].cores_per_gpu: found 9, expected at most "),
        ("{q: {", "{r: {", 'site.yml:32: gpu_types[0].qos.r: found "r", expected one of the qos: q'),
        ('engine: "e"', 'engine: "f"', 'site.yml:33: gpu_types[0].engine: found "f", expected one of the engines: e'),
        (
            'gpu_type: "g"',
            'gpu_type: "h"',
            'site.yml:14: defaults: found {"model": "m", "gpu_type": "h", "num_gpus": 1',
        ),
        (", hours: 1}", ", hours: 99}", 'site.yml:14: defaults: found {"model": "m", "gpu_type": "g", "num_gpus": 1'),
        ('name: "Site"', 'name: "Site"\nname: "Again"', 'site.yml:2: name: found "the field a second time", expected '),
        ('name: "Site"', "1: 2\nname: x", "site.yml:1: the whole file: found 1, expected text as the name of a field"),
        ("core_weight: 1.0", "core_weight: [1.0", 'site.yml:14: the whole file: found "expected '),
        ("core_weight: 1.0", "core_weight: !!python/object:x {}", "site.yml:13: core_weight: found {}, expected a "),
        ("core_weight: 1.0", "core_weight: 2001-13-45", 'site.yml:13: core_weight: found "2001-13-45", expected a '),
        (
            "core_weight: 1.0",
            "core_weight: &a [*a]",
            'site.yml:13: core_weight[0]: found "an alias to its own parent", ',
        ),
    ],
)
def test_a_fault_in_the_site_is_told_with_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    faults = compile_texts(tmp_path, site=changed(SITE, old, new))
    assert any(each.startswith(fault) for each in faults), faults


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('name: "m"', 'name: "../m"', 'models.yml:2: models[0].name: found "../m", expected small letters, digits'),
        ('name: "m"', 'name: "1m"', 'models.yml:2: models[0].name: found "1m", expected small letters, digits'),
        (
            'source: "owner/m"',
            'source: "~/m"',
            'models.yml:4: models[0].source: found "~/m", expected a Hugging Face id ',
        ),
        ('source: "owner/m"', 'source: "m"', 'models.yml:4: models[0].source: found "m", expected a Hugging Face id '),
        ("null", '"long"', 'models.yml:9: models[0].max_model_len: found "long", expected a valid integer'),
        ("null", 'null\n    task: "rank"', "models.yml:10: models[0].task: found \"rank\", expected 'chat' or 'embed'"),
        (
            "null",
            'null\n    args: ["--runner=pooling"]',
            'models.yml:10: models[0].args: found "--runner", expected `task: embed` in the entry of the model that ',
        ),
        ("null", "null\n    args: [1]", "models.yml:10: models[0].args[0]: found 1, expected a valid string"),
        ("null", 'null\n    engine: "x"', 'models.yml:10: models[0].engine: found "x", expected one of the site\'s '),
        (
            "null",
            'null\n    accelerators: ["tpu"]',
            'models.yml:10: models[0].accelerators[0]: found "tpu", expected \'',
        ),
        (
            "null",
            "null\n    weights_gib: 4.0",
            "models.yml:10: models[0].weights_gib: found 4.0, expected no such field; the fields here are ",
        ),
        (
            'name: "m"',
            'name: "other"',
            'models.yml:2: models[0].name: found "other", expected another name: in the form ',
        ),
        ('    group: "Tests"\n', "", "models.yml:2: models[0].group: found nothing, expected this field"),
        (
            'group: "Tests"',
            'group: ""',
            'models.yml:6: models[0].group: found "", expected one line of text that is not ',
        ),
        ('group: "Tests"', 'group: "G\\nH"', 'models.yml:6: models[0].group: found "G\\nH", expected one line of text'),
        ('config: "m.json"', "config: 1", "models.yml:8: models[0].config: found 1, expected a valid string"),
        (
            'config: "m.json"',
            'config: "~/m.json"',
            'models.yml:8: models[0].config: found "~/m.json", expected a path ',
        ),
        ('config: "m.json"', 'config: "n.json"', 'models.yml:8: models[0].config: found "n.json", expected a known '),
        ("null", "0", "models.yml:9: models[0].max_model_len: found 0, expected greater than or equal to 1"),
        (
            "null",
            "null\n    num_gpus: []",
            "models.yml:10: models[0].num_gpus: found [], expected List should have at ",
        ),
        ("null", "null\n    num_gpus: [0]", "models.yml:10: models[0].num_gpus[0]: found 0, expected greater than or "),
        (
            "null",
            "null\n    accelerators: []",
            "models.yml:10: models[0].accelerators: found [], expected List should ",
        ),
        ("null", 'null\n    args: "--trust"', 'models.yml:10: models[0].args: found "--trust", expected a valid list'),
        (
            "null",
            'null\n    args: ["a\\nb"]',
            'models.yml:10: models[0].args[0]: found "a\\nb", expected one argument ',
        ),
        ('licence: "MIT"', "licence: no", "models.yml:5: models[0].licence: found false, expected a valid string"),
        (
            "null",
            'null\n    args: ["--quantization", "fp8"]',
            'models.yml:10: models[0].args: found "--quantization", expected no option that the form or',
        ),
        (
            "null",
            'null\n    args: ["--gpu_memory_utilization=1.5"]',
            'models.yml:10: models[0].args: found "--gpu-memory-utilization 1.5", expected a share of',
        ),
        ("models:", "model:", "models.yml:1: models: found nothing, expected this field"),
        (MODELS, "[]", "models.yml:1: the whole file: found [], expected a group of fields"),
        (MODELS, "", "models.yml:1: the whole file: found null, expected a group of fields"),
    ],
)
def test_a_fault_in_the_models_is_told_with_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    faults = compile_texts(tmp_path, models=changed(MODELS, old, new))
    assert any(each.startswith(fault) for each in faults), faults


def test_all_faults_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    site = changed(changed(SITE, 'proxy: "node"', "proxy: 1"), "core_weight: 1.0", "core_weight: x")
    faults = compile_texts(tmp_path, site=site, models=changed(MODELS, '"MIT"', "1"))
    assert [fault.split(": ")[:2] for fault in faults] == [
        ["site.yml:9", "proxy"],
        ["site.yml:13", "core_weight"],
        ["models.yml:5", "models[0].licence"],
    ]


def test_a_name_that_is_taken_is_a_fault(tmp_path: Path) -> None:
    models = MODELS + MODELS.removeprefix("models:\n")
    assert compile_texts(tmp_path, models=models) == [
        'models.yml:10: models[1].name: found "m", expected a name that no earlier entry has'
    ]


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none.yml:1: the whole file: found nothing, expected a file that can be read"
    ):
        compile_catalogue(tmp_path / "none.yml", None, tmp_path)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match=r"site.yml:1: the whole file: found \"byte 6\", expected text in UTF-8"):
        compile_catalogue(tmp_path / "site.yml", None, tmp_path)
