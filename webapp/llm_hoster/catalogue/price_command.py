"""`llm-hoster price`: what hours on a GPU type cost, offered or not."""

from __future__ import annotations

import json
from pathlib import Path

import click

from llm_hoster.catalogue.app_dir import find_app_dir
from llm_hoster.catalogue.app_names import GPU_TYPE
from llm_hoster.catalogue.compiler import load_site
from llm_hoster.catalogue.price import price_su
from llm_hoster.catalogue.site import GpuType, Qos, Site
from llm_hoster.errors import ConfigError


@click.command()
@click.option("--gpu-type", type=GPU_TYPE, required=True, help="Name of a GPU type in site.yml.")
@click.option("--num-gpus", type=click.IntRange(min=1), required=True)
@click.option("--cores", type=click.IntRange(min=0), help="Default: the cores that the form gives.")
@click.option("--hours", type=click.FloatRange(min=0), required=True)
@click.option("--chain", type=click.IntRange(min=1), default=1, help="Sessions in a row, of so many hours each.")
@click.option("--qos", "qos_name", help="Default: the one that the form takes for these hours.")
@click.option("--site", "site_path", type=click.Path(path_type=Path), help="Default: config/site.yml of the app.")
@click.option("--json", "as_json", is_flag=True, help="Print {su, su_per_hour} alone.")
def price(
    gpu_type: str,
    num_gpus: int,
    cores: int | None,
    hours: float,
    chain: int,
    qos_name: str | None,
    site_path: Path | None,
    as_json: bool,
) -> None:
    """Price a launch in service units (SU): hours x (cores x core weight + GPUs x GPU weight) x share of the QoS."""
    site = load_site(site_path or find_app_dir() / "config" / "site.yml")
    chosen = find_gpu_type(site, gpu_type)
    qos = find_qos(site, chosen, num_gpus, hours, qos_name)
    cores = site.cores_for(chosen, num_gpus) if cores is None else cores

    def su_for(some_hours: float) -> float:
        return price_su(
            hours=some_hours,
            cores=cores,
            core_weight=site.core_weight,
            num_gpus=num_gpus,
            gpu_weight=chosen.su_weight,
            qos_factor=qos.charge if qos else 1.0,
        )

    su, su_per_hour = su_for(hours * chain), su_for(1)
    if as_json:
        click.echo(json.dumps({"su": su, "su_per_hour": su_per_hour}))
    else:
        times = f"{chain} x " if chain > 1 else ""
        rate = f"{su_per_hour:.2f} SU per hour ({cores} cores, {qos_label(qos)})"
        click.echo(f"{su:.2f} SU for {times}{hours:g} h at {rate}.")


def find_gpu_type(site: Site, name: str) -> GpuType:
    for gpu_type in site.gpu_types:
        if gpu_type.name == name:
            return gpu_type
    names = ", ".join(each.name for each in site.gpu_types)
    raise ConfigError(f"GPU type {name!r} is not in site.yml: choose one of {names}.")


def find_qos(site: Site, gpu_type: GpuType, num_gpus: int, hours: float, name: str | None) -> Qos | None:
    """Take the named QoS, or the first that allows so many GPUs and hours; None where the GPU type has none."""
    allowed = [qos for qos in site.qos if qos.name in gpu_type.qos]
    if name is not None:
        return named_qos(allowed, gpu_type, name)
    if not allowed:
        return None
    # More GPUs than a QoS gives to one user can still be priced: the first one stands for them.
    roomy = [qos for qos in allowed if gpu_type.qos[qos.name].allows(num_gpus)] or allowed[:1]
    return long_enough_qos(roomy, gpu_type, num_gpus, hours)


def named_qos(allowed: list[Qos], gpu_type: GpuType, name: str) -> Qos:
    for qos in allowed:
        if qos.name == name:
            return qos
    expected = f"choose one of {', '.join(qos.name for qos in allowed)}" if allowed else "it has none"
    raise ConfigError(f"QoS {name!r} does not serve {gpu_type.name}: {expected}.")


def long_enough_qos(roomy: list[Qos], gpu_type: GpuType, num_gpus: int, hours: float) -> Qos:
    for qos in roomy:
        if qos.max_hours >= hours:
            return qos
    longest = max(qos.max_hours for qos in roomy)
    raise ConfigError(f"{hours:g} hours are too long for {num_gpus} x {gpu_type.name}: choose at most {longest}.")


def qos_label(qos: Qos | None) -> str:
    return f"QoS {qos.name}" if qos else "no QoS"
