"""The bytes of a model's weights: in its files, in memory, and on each GPU under tensor and pipeline parallelism."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from llm_hoster.fit.architecture import Architecture
from llm_hoster.fit.layer import Layer
from llm_hoster.fit.parameters import Parameter
from llm_hoster.fit.quantization import OnTheFly

# vLLM casts what is published with 32 bits to 16 (config/model.py, _resolve_auto_dtype), on GPUs and on a CPU.
BYTES_IN_MEMORY = 2


@dataclass(frozen=True)
class Weights:
    in_files: int
    in_memory: int
    """Of the whole model, once."""
    per_stage: tuple[int, ...]
    """On one GPU of each pipeline stage."""


def count_weights(
    architecture: Architecture,
    stages: tuple[range, ...],
    tensor_parallel: int,
    on_the_fly: OnTheFly | None = None,
    published: int | None = None,
    padding: tuple[int, int] = (1, 1),
) -> Weights:
    """`published`: the exact size of the files; what is counted from the config is scaled to it.

    `padding`: to what the experts' own width and the model's are rounded up on a GPU when they are MXFP4.
    """
    in_files = published_bytes(architecture)
    scale = _scale(architecture, in_files, published) if published else Fraction(1)
    sizes = _Sizes(on_the_fly, padding)
    whole = sum(sizes.layer(layer, 1) for layer in architecture.layers)
    whole += sizes.total((*architecture.first, *architecture.last, *architecture.tower), 1)
    per_stage = []
    for index, stage in enumerate(stages):
        size = sum(sizes.layer(architecture.layers[layer], tensor_parallel) for layer in stage)
        beside = _beside_layers(architecture, is_first=index == 0, is_last=index == len(stages) - 1)
        per_stage.append(int((size + sizes.total(beside, tensor_parallel)) * scale))
    return Weights(published or in_files, int(whole * scale), tuple(per_stage))


def _beside_layers(architecture: Architecture, *, is_first: bool, is_last: bool) -> list[Parameter]:
    """What a pipeline stage has beside its layers."""
    parameters: list[Parameter] = []
    if is_first:
        parameters += architecture.tower
    if is_first or "embeddings" in architecture.repeated:
        parameters += architecture.first
    elif is_last and architecture.is_tied:
        # Words are chosen by the embeddings, of which the last stage then has its own.
        parameters += architecture.first[:1]
    if is_last:
        parameters += architecture.last
    elif "lm_head" in architecture.repeated:
        parameters += [each for each in architecture.last if each.split == "vocabulary"]
    return parameters


def published_bytes(architecture: Architecture) -> int:
    """The size of the files by the config: every matrix as it is stored, with what vLLM does not load."""
    parts = (architecture.first, architecture.last, architecture.tower, architecture.extra)
    layers = sum(
        _stored_together(layer.parameters, architecture) * count for layer, count in architecture.distinct_layers
    )
    return layers + sum(_stored_together(part, architecture) for part in parts)


def stages_of(layers: int, nodes: int) -> tuple[range, ...]:
    """Which layers each pipeline stage has (get_pp_indices in vLLM's distributed/utils.py)."""
    counts = [layers // nodes] * nodes
    for index in range(2, layers % nodes + 2):
        counts[-index] += 1
    starts = [sum(counts[:index]) for index in range(nodes)]
    return tuple(range(start, start + count) for start, count in zip(starts, counts, strict=True))


def _scale(architecture: Architecture, counted: int, published: int) -> Fraction:
    """Some publish without the layers that predict several tokens at once: then the size is nearer to that."""
    extra = _stored_together(architecture.extra, architecture)
    if abs(published - (counted - extra)) < abs(published - counted):
        counted -= extra
    return Fraction(published, max(1, counted))


def _stored_together(parameters: Iterable[Parameter], architecture: Architecture) -> int:
    bytes_per_element = architecture.file_bytes_per_element
    return sum(_stored(parameter, bytes_per_element) for parameter in parameters if parameter.in_files)


def _stored(parameter: Parameter, bytes_per_element: int) -> int:
    if parameter.format:
        return parameter.copies * parameter.format.size(parameter.rows, parameter.columns)
    return parameter.elements * (parameter.bytes_per_element or bytes_per_element)


class _Sizes:
    """Sizes in memory; equal layers are one object and counted once."""

    def __init__(self, on_the_fly: OnTheFly | None, padding: tuple[int, int]) -> None:
        self.on_the_fly = on_the_fly
        self.padding = padding
        self.known: dict[tuple[int, int], int] = {}

    def layer(self, layer: Layer, tensor_parallel: int) -> int:
        key = (id(layer), tensor_parallel)
        if key not in self.known:
            self.known[key] = self.total(layer.parameters, tensor_parallel)
        return self.known[key]

    def total(self, parameters: Iterable[Parameter], tensor_parallel: int) -> int:
        return sum(self._size(each, tensor_parallel) for each in parameters)

    def _size(self, parameter: Parameter, tensor_parallel: int) -> int:
        rows, columns = parameter.shard(tensor_parallel)
        if parameter.format and parameter.format.name == "mxfp4" and parameter.is_expert:
            inner, outer = self.padding if parameter.split == "rows" else self.padding[::-1]
            rows, columns = -(-rows // inner) * inner, -(-columns // outer) * outer
        if parameter.format:
            return parameter.copies * parameter.format.size(rows, columns)
        conversion = self.on_the_fly
        if conversion and parameter.is_linear and (parameter.is_expert or not conversion.experts_only):
            return parameter.copies * conversion.format.size(rows, columns)
        return parameter.copies * rows * columns * (parameter.bytes_per_element or BYTES_IN_MEMORY)
