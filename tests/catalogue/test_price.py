"""The price of a launch, against the site's own worked examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from llm_hoster.catalogue.price import price_su
from llm_hoster.catalogue.price_command import price
from llm_hoster.errors import ConfigError
from tests.catalogue.small_site import TWO_NODES, write_small

SITE = str(Path(__file__).resolve().parents[2] / "config" / "site.yml")


def price_json(*arguments: str) -> dict[str, float]:
    result = CliRunner().invoke(price, [*arguments, "--site", SITE, "--json"], catch_exceptions=False)
    answer: dict[str, float] = json.loads(result.output)
    return answer


@pytest.mark.parametrize(
    ("hours", "cores", "core_weight", "num_gpus", "gpu_weight", "qos_factor", "su"),
    [
        pytest.param(4, 10, 1.0, 1, 108.6, 1.0, 474.4, id="an A100 with 10 cores for 4 h"),
        pytest.param(1, 64, 1.0, 3, 108.6, 1.0, 389.8, id="a whole A100 node for 1 h"),
        pytest.param(4, 32, 1.0, 1, 370.4, 1.0, 1609.6, id="an H200 with 32 cores for 4 h"),
        pytest.param(4, 8, 1.0, 1, 65.1, 1.0, 292.4, id="a small slice for 4 h"),
        pytest.param(1, 10, 1.0, 1, 54.3, 0.1, 6.43, id="a testing slice at a tenth"),
        pytest.param(24, 10, 0.0, 1, 108.6, 1.0, 2606.4, id="the original formula: 1 GPU for 24 h"),
        pytest.param(8, 40, 0.0, 4, 108.6, 1.0, 3475.2, id="the original formula: 4 GPUs for 8 h"),
        pytest.param(3, 2, 1.0, 0, 0.0, 1.0, 6.0, id="cores alone"),
        pytest.param(0, 10, 1.0, 1, 108.6, 1.0, 0.0, id="no time, no charge"),
    ],
)
def test_a_launch_costs_hours_times_weighted_cores_and_gpus(
    hours: float, cores: int, core_weight: float, num_gpus: int, gpu_weight: float, qos_factor: float, su: float
) -> None:
    assert su == price_su(
        hours=hours,
        cores=cores,
        core_weight=core_weight,
        num_gpus=num_gpus,
        gpu_weight=gpu_weight,
        qos_factor=qos_factor,
    )


@pytest.mark.parametrize(
    ("arguments", "su", "su_per_hour"),
    [
        ("--gpu-type a100-40gb --num-gpus 1 --cores 10 --hours 4", 474.4, 118.6),
        ("--gpu-type a100-40gb --num-gpus 1 --hours 4", 474.4, 118.6),
        ("--gpu-type h200 --num-gpus 1 --cores 32 --hours 4", 1609.6, 402.4),
        ("--gpu-type rtx_pro_6000_1g.24gb --num-gpus 1 --cores 8 --hours 4", 292.4, 73.1),
        ("--gpu-type a100_3g.20gb --num-gpus 1 --cores 10 --hours 1", 6.43, 6.43),
        ("--gpu-type mi100 --num-gpus 1 --cores 10 --hours 1", 118.6, 118.6),
        ("--gpu-type mi100 --num-gpus 1 --cores 10 --hours 1 --qos gpu-testing", 11.86, 11.86),
        ("--gpu-type a100_80gb --num-gpus 1 --cores 0 --hours 24", 2606.4, 108.6),
        ("--gpu-type a100_80gb --num-gpus 4 --cores 0 --hours 8", 3475.2, 434.4),
        ("--gpu-type l40 --num-gpus 1 --cores 10 --hours 0.5", 59.3, 118.6),
    ],
)
def test_the_command_prices_a_launch(arguments: str, su: float, su_per_hour: float) -> None:
    assert price_json(*arguments.split()) == {"su": su, "su_per_hour": su_per_hour}


def test_the_command_speaks_a_sentence_without_json() -> None:
    arguments = ["--gpu-type", "l40", "--num-gpus", "2", "--hours", "2", "--site", SITE]
    assert CliRunner().invoke(price, arguments).output == (
        "474.40 SU for 2 h at 237.20 SU per hour (20 cores, QoS gpu-normal).\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--gpu-type v100 --num-gpus 1 --hours 1", "GPU type 'v100' is not in site.yml: choose one of a100_3g.20gb, "),
        (
            "--gpu-type l40 --num-gpus 1 --hours 1 --qos fast",
            "QoS 'fast' does not serve l40: choose one of gpu-normal, gpu-long.",
        ),
        ("--gpu-type l40 --num-gpus 1 --hours 169", "169 hours are too long for 1 x l40: choose at most 168."),
    ],
)
def test_an_unknown_name_gets_one_sentence_with_the_allowed_ones(arguments: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        price_json(*arguments.split())
    assert str(raised.value).startswith(sentence)


def test_two_nodes_that_are_taken_whole_are_priced_whole(tmp_path: Path) -> None:
    site = write_small(tmp_path, TWO_NODES)
    done = CliRunner().invoke(
        price, ["--site", str(site), "--gpu-type", "g", "--num-gpus", "4", "--hours", "1", "--json"]
    )
    assert json.loads(done.output)["su_per_hour"] == 2 * 16 + 4 * 10


def test_sessions_in_a_row_cost_their_hours_each() -> None:
    arguments = ["--gpu-type", "a100-40gb", "--num-gpus", "1", "--hours", "4"]
    assert price_json(*arguments, "--chain", "2")["su"] == 2 * price_json(*arguments)["su"]
    result = CliRunner().invoke(price, [*arguments, "--chain", "2", "--site", SITE], catch_exceptions=False)
    assert "948.80 SU for 2 x 4 h at 118.60 SU per hour" in result.output
