"""Which kind each layer of a model is: with attention over everything, over a window, without attention, ..."""

from __future__ import annotations

from typing import Literal

from llm_hoster.fit.config_fields import Fields
from llm_hoster.fit.families import Family
from llm_hoster.fit.searched_blocks import has_attention, has_blocks

LayerKind = Literal["full", "sliding", "chunked", "recurrent", "mlp", "moe"]

# The same kinds under the names that transformers has given them over time.
NAMES: dict[str, LayerKind] = {
    "full_attention": "full",
    "attention": "full",
    "hybrid": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "recurrent",
    "mamba": "recurrent",
    "conv": "recurrent",
    "mlp": "mlp",
    "moe": "moe",
}
PATTERN: dict[str, LayerKind] = {"M": "recurrent", "*": "full", "-": "mlp", "E": "moe"}

# A config.json with a million layers is no model; vLLM would not come this far either.
LAYERS_MAX = 1024


def layer_kinds(config: Fields, family: Family) -> list[LayerKind]:
    pattern = config.text("hybrid_override_pattern")
    if pattern:
        _limit(config, len(pattern))
        return [_kind(config, "hybrid_override_pattern", each, PATTERN) for each in pattern]
    count = config.positive("num_hidden_layers", default=len(config.items("layers_block_type", str)) or None)
    _limit(config, count)
    field = config.first("layer_types", "layers_block_type")
    named = config.items(field, str)
    if named:
        if len(named) < count:
            raise config.fault(field, len(named), f"an entry for each of the {count} layers")
        kinds = [_kind(config, field, each, NAMES) for each in named[:count]]
        return kinds if config.integer("sliding_window", default=0) else [_unwindowed(each) for each in kinds]
    return [_unnamed(config, family, index, count) for index in range(count)]


def _unnamed(config: Fields, family: Family, index: int, count: int) -> LayerKind:
    """The kind of a layer where only its family and a rhythm say it."""
    if has_blocks(config):
        return "full" if has_attention(config, index) else "mlp"
    if family.recurrent:
        return _hybrid(config, family, index)
    if config.integer("attention_chunk_size", default=0) and config.has("interleave_moe_layer_step"):
        without_rope = config.items("no_rope_layers", int)
        chunked = without_rope[index] if index < len(without_rope) else (index + 1) % 4
        return "chunked" if chunked else "full"
    if not config.integer("sliding_window", default=0):
        return "full"
    rhythm = {"alternating": 2, "every_fourth": 4, "every_sixth": 6}.get(family.sliding)
    if rhythm:
        rhythm = config.positive("sliding_window_pattern", "_sliding_window_pattern", default=rhythm)
        is_last = index == count - 1 and family.wide_full_layers
        return "full" if (index + 1) % rhythm == 0 or is_last else "sliding"
    if family.sliding == "use_sliding_window":
        first = config.integer("max_window_layers", default=count)
        return "sliding" if config.flag("use_sliding_window") and index >= first else "full"
    return "sliding" if family.sliding == "all" else "full"


def _hybrid(config: Fields, family: Family, index: int) -> LayerKind:
    if family.recurrent in ("gated_delta", "gated_delta_fused"):
        return "full" if (index + 1) % config.positive("full_attention_interval", default=4) == 0 else "recurrent"
    if family.recurrent == "kda":
        part = config.part("linear_attn_config")
        full = part.items("full_attn_layers", int) if part else ()
        return "full" if index + 1 in full else "recurrent"
    if family.recurrent == "mamba1":
        period, offset = config.positive("attn_layer_period"), config.integer("attn_layer_offset", default=0)
        return "full" if index % period == offset else "recurrent"
    if family.recurrent == "convolution":
        return "full" if index in config.items("full_attn_idxs", int) else "recurrent"
    return "recurrent"


def _unwindowed(kind: LayerKind) -> LayerKind:
    return "full" if kind == "sliding" else kind


def _kind(config: Fields, field: str, name: str, names: dict[str, LayerKind]) -> LayerKind:
    if name not in names:
        raise config.fault(field, name, f"one of {', '.join(names)}")
    return names[name]


def _limit(config: Fields, count: int) -> None:
    if not 1 <= count <= LAYERS_MAX:
        raise config.fault("num_hidden_layers", count, f"a whole number from 1 to {LAYERS_MAX}")
