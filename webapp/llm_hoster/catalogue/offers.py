"""The places of a site: each GPU type in each number, with what Slurm is asked for, in which QoS and at what price."""

from __future__ import annotations

from llm_hoster.catalogue.compiled import Offer, OfferQos
from llm_hoster.catalogue.price import price_su
from llm_hoster.catalogue.site import GpuType, Qos, Site

Offers = dict[str, dict[str, Offer]]


def compile_offers(site: Site) -> Offers:
    """Give the places by GPU type and number of GPUs, in the site's order."""
    return {
        gpu_type.name: {str(count): _offer(site, gpu_type, count) for count in gpu_type.num_gpus}
        for gpu_type in site.gpu_types
    }


def places_by_price(offers: Offers) -> list[tuple[str, str]]:
    """Order the places by their price for an hour; of equal ones, the site's order counts."""
    places = [(gpu_type, count) for gpu_type, counts in offers.items() for count in counts]
    return sorted(places, key=lambda place: offers[place[0]][place[1]].qos[0].su_per_hour)


def _offer(site: Site, gpu_type: GpuType, num_gpus: int) -> Offer:
    partition = site.partition_of(gpu_type)
    nodes = partition.nodes_for(num_gpus)
    cores = site.cores_for(gpu_type, num_gpus)
    return Offer(
        partition=partition.name,
        gres=None if gpu_type.gres is None else f"gpu:{gpu_type.gres}:{num_gpus // nodes}",
        constraint=gpu_type.constraint,
        nodes=nodes,
        cores=cores // nodes,
        memory_gib=partition.memory_gib(cores // nodes),
        exclusive=site.takes_whole_nodes(nodes),
        qos=[
            OfferQos(
                name=None if qos is None else qos.name,
                max_hours=partition.max_hours if qos is None else min(qos.max_hours, partition.max_hours),
                su_per_hour=price_su(
                    hours=1,
                    cores=cores,
                    core_weight=site.core_weight,
                    num_gpus=num_gpus,
                    gpu_weight=gpu_type.su_weight,
                    qos_factor=1.0 if qos is None else qos.charge,
                ),
                chain_max=site.chain_max if _has_room_for_two(gpu_type, num_gpus, qos) else 1,
            )
            for qos in _allowed_qos(site, gpu_type, num_gpus)
        ],
    )


def _allowed_qos(site: Site, gpu_type: GpuType, num_gpus: int) -> list[Qos] | list[None]:
    """Give the QoS whose limits allow `num_gpus`, in the site's order; [None] where the type names none."""
    if not gpu_type.qos:
        return [None]
    return [qos for qos in site.qos if qos.name in gpu_type.qos and gpu_type.qos[qos.name].allows(num_gpus)]


def _has_room_for_two(gpu_type: GpuType, num_gpus: int, qos: Qos | None) -> bool:
    """Whether one person may have the place twice at a time, as two sessions in a row have it for a while."""
    if qos is None:
        return True
    return qos.max_jobs != 1 and gpu_type.qos[qos.name].allows(2 * num_gpus)
