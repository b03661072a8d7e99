"""Models whose layers a search has made unequal, each described by its entry in block_configs (Nemotron NAS)."""

from __future__ import annotations

from llm_hoster.fit.config_fields import Fields

# _find_multiple in vLLM's model_executor/models/nemotron_nas.py.
WIDTH_MULTIPLE = 256


def has_blocks(config: Fields) -> bool:
    return isinstance(config.get("block_configs"), list)


def block_fields(config: Fields, index: int) -> Fields:
    """The model's fields as they are for this layer: intermediate_size is 0 without a feed-forward network."""
    attention, network = _part(config, index, "attention"), _part(config, index, "ffn")
    for part in (attention, network):
        if part.flag("replace_with_linear"):
            raise part.fault("replace_with_linear", True, "false")
    width = 0
    if not network.flag("no_op"):
        asked = int(2 * network.number("ffn_mult", 0) * config.positive("hidden_size") / 3)
        width = -(-asked // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
    heads = config.positive("num_attention_heads")
    kv_heads = heads // min(heads, attention.positive("n_heads_in_group", default=1))
    return config.but(intermediate_size=width, num_key_value_heads=kv_heads)


def has_attention(config: Fields, index: int) -> bool:
    return not _part(config, index, "attention").flag("no_op")


def _part(config: Fields, index: int, name: str) -> Fields:
    blocks = config.items("block_configs", dict)
    if index >= len(blocks):
        raise config.fault("block_configs", len(blocks), "an entry for each layer")
    part = Fields(blocks[index], f"{config.where}block_configs.{index}.").part(name)
    if part is None:
        raise config.fault("block_configs", blocks[index], f"a group of fields named {name}")
    return part
