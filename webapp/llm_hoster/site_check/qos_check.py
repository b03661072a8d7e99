"""The QoS of site.yml and their limits on GPUs held against sacctmgr and the partitions."""

from __future__ import annotations

from collections.abc import Iterator

from llm_hoster.catalogue.document import Location
from llm_hoster.catalogue.site import GpuLimit, Qos
from llm_hoster.site_check import slurm
from llm_hoster.site_check.finding import Finding
from llm_hoster.site_check.hours import check_hours
from llm_hoster.site_check.site_file import SiteFile, nearest


def check_qos(file: SiteFile, known: dict[str, slurm.Qos], own: frozenset[str] | None) -> Iterator[Finding]:
    written = {each.name for each in file.site.qos}
    for index, qos in enumerate(file.site.qos):
        here = ("qos", index)
        real = known.get(qos.name)
        if real is None:
            expected = f"a QoS of the cluster: {', '.join(known)}"
            free = [name for name in known if name not in written]
            yield file.finding((*here, "name"), expected, new=nearest(qos.name, free))
            continue
        yield from _check_values(file, here, qos, real)
        if own is not None and qos.name not in own:
            expected = f"a QoS that your accounts may use: {', '.join(sorted(own)) or 'they have none'}"
            yield file.finding((*here, "name"), expected, kind="note")


def _check_values(file: SiteFile, here: Location, qos: Qos, real: slurm.Qos) -> Iterator[Finding]:
    yield from check_hours(file, (*here, "max_hours"), qos.max_hours, real.max_hours, "its MaxWall")
    if real.max_jobs == 0:
        yield file.finding((*here, "max_jobs"), "no such QoS: its MaxJobsPU or MaxSubmitPU is 0")
    elif real.max_jobs not in (None, qos.max_jobs):
        expected = f"{real.max_jobs}, its MaxJobsPU or MaxSubmitPU"
        yield file.finding((*here, "max_jobs"), expected, new=real.max_jobs)
    if real.usage_factor != qos.charge:
        expected = f"{real.usage_factor:g}, its UsageFactor, unless the site charges otherwise"
        yield file.finding((*here, "charge"), expected, new=real.usage_factor, kind="note")


def check_gpu_limits(
    file: SiteFile, known: dict[str, slurm.Qos], partitions: dict[str, slurm.Partition]
) -> Iterator[Finding]:
    for index, gpu_type in enumerate(file.site.gpu_types):
        partition = partitions.get(gpu_type.partition)
        for name, limit in gpu_type.qos.items():
            here = ("gpu_types", index, "qos", name)
            real = known.get(name)
            if partition and partition.allowed_qos is not None and name not in partition.allowed_qos:
                allowed = ", ".join(sorted(partition.allowed_qos))
                yield file.finding(here, f"no {name} here: partition {partition.name} allows {allowed}")
            elif real is not None and gpu_type.gres is not None:
                yield from _check_limits(file, here, limit, real, gpu_type.gres)


def _check_limits(file: SiteFile, here: Location, limit: GpuLimit, real: slurm.Qos, gres: str) -> Iterator[Finding]:
    limits = real.gpus(gres)
    if 0 in limits.values():
        yield file.finding(here, f"no {real.name} here: it gives nobody {gres}")
        return
    for field, found in (("per_user", limit.per_user), ("total", limit.total)):
        # Where all together may have less than one user, that is what one user may have.
        tres = "MaxTRESPU" if field == "per_user" and limits.get(field) in real.per_user.values() else "GrpTRES"
        right = limits.get(field)
        if right is not None and right != found:
            yield file.finding((*here, field), f"{right}, its {tres} for {gres}", new=right)
        elif right is None and found is not None:
            yield file.finding((*here, field), f"none: the QoS has no {tres} for {gres}", kind="note")
