"""Where a model of the catalogue runs at the lowest price."""

from __future__ import annotations

from dataclasses import dataclass

from llm_hoster.catalogue.choice import FormValues
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.price import su_text

DEFAULT = FormValues()
PUBLISHED_VARIANT = f"{DEFAULT.quantization}/{DEFAULT.preset}"


@dataclass(frozen=True)
class CheapestPlace:
    gpu_type: str
    num_gpus: int
    su_per_hour: float
    max_model_len: int
    quantization: str
    """The form's name for it, needed for the model to fit there; "none" when it fits as it was published."""

    def __str__(self) -> str:
        text = f"{self.num_gpus} x {self.gpu_type}"
        if self.quantization != DEFAULT.quantization:
            text += f" with {self.quantization}"
        return text

    @property
    def su(self) -> str:
        return su_text(self.su_per_hour)


def cheapest_place(catalogue: Catalogue, name: str) -> CheapestPlace | None:
    """As published where that fits anywhere, else quantised while loading; None when it fits nowhere on the site."""
    table = catalogue.fits.get(name, {})
    variants = [PUBLISHED_VARIANT]
    variants += [f"{each.name}/{DEFAULT.preset}" for each in catalogue.quantizations]
    for variant in variants:
        for gpu_type, count in catalogue.places:
            verdict = table.get(gpu_type, {}).get(count, {}).get(variant)
            if verdict is not None and verdict.fits:
                return CheapestPlace(
                    gpu_type=gpu_type,
                    num_gpus=int(count),
                    su_per_hour=catalogue.offers[gpu_type][count].qos[0].su_per_hour,
                    max_model_len=verdict.max_model_len,
                    quantization=variant.partition("/")[0],
                )
    return None


def longest_context(catalogue: Catalogue, name: str) -> int:
    """The longest that any place of the site has room for; 0 when the model fits nowhere."""
    table = catalogue.fits.get(name, {})
    verdicts = [variants for counts in table.values() for variants in counts.values()]
    return max((each.max_model_len for variants in verdicts for each in variants.values() if each.fits), default=0)
