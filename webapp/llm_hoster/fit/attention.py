"""Attention layers: their matrices, and what they keep for each token."""

from __future__ import annotations

from dataclasses import replace

from llm_hoster.fit.config_fields import Fields
from llm_hoster.fit.families import Family
from llm_hoster.fit.layer import Cache, CacheKind
from llm_hoster.fit.parameters import Parameter, linear, norm, plain, vector

# DeepSeek's sparse attention keeps FP8 keys with a 4-byte scale for each 128 of them (vLLM: DeepseekV32IndexerCache).
INDEXER_SCALE_BLOCK = 128


def grouped_query(config: Fields, family: Family, kind: CacheKind, *, shares_cache: bool) -> list[Parameter]:
    """Matrices of ordinary attention: queries by head, keys and values by key-value head."""
    hidden, name = config.positive("hidden_size"), family.attention_name
    heads, kv_heads, head_dim = head_counts(config, family, kind)
    value_dim = value_width(config, family, kind, head_dim)
    bias = family.says(config, family.qkv_bias)
    gate = 2 if family.output_gate and config.flag("attn_output_gate", True) else 1
    parameters = linear(f"{name}.q_proj", heads * head_dim * gate, hidden, "rows", bias=bias)
    if not shares_cache:
        parameters += linear(f"{name}.k_proj", kv_heads * head_dim, hidden, "heads", bias=bias, heads=kv_heads)
        value = linear(f"{name}.v_proj", kv_heads * value_dim, hidden, "heads", bias=bias, heads=kv_heads)
        parameters += [_without_file(each) for each in value] if keys_are_values(config, kind) else value
    out_bias = family.says(config, family.out_bias)
    parameters += linear(f"{name}.o_proj", hidden, heads * value_dim, "columns", bias=out_bias)
    if family.head_gate:
        parameters += linear(f"{name}.g_proj", heads, hidden, "rows")
    if family.sinks:
        parameters.append(vector(f"{name}.sinks", heads, "rows"))
    if family.qk_norm == "head" and config.flag("use_qk_norm", True):
        parameters += norm(f"{name}.q_norm", head_dim) + ([] if shares_cache else norm(f"{name}.k_norm", head_dim))
    elif family.qk_norm == "width":
        parameters += norm(f"{name}.q_norm", heads * head_dim) + norm(f"{name}.k_norm", kv_heads * head_dim)
    return parameters


def grouped_query_cache(config: Fields, family: Family, kind: CacheKind) -> Cache:
    _, kv_heads, head_dim = head_counts(config, family, kind)
    window = 0
    if kind == "sliding":
        window = config.positive("sliding_window")
    elif kind == "chunked":
        window = config.positive("attention_chunk_size")
    return Cache(kind, kv_heads, head_dim + value_width(config, family, kind, head_dim), window)


def head_counts(config: Fields, family: Family, kind: CacheKind) -> tuple[int, int, int]:
    """Heads, key-value heads and the width of a head; Gemma 4's and MiMo's layers differ by kind."""
    heads = config.positive("num_attention_heads")
    kv_heads = config.positive("num_key_value_heads", default=heads)
    head_dim = config.positive("head_dim", default=max(1, config.positive("hidden_size") // heads))
    if family.wide_full_layers and kind == "full":
        head_dim = config.positive("global_head_dim", default=head_dim)
        if config.flag("attention_k_eq_v"):
            kv_heads = config.positive("num_global_key_value_heads", default=kv_heads)
    if kind == "sliding" and config.has("swa_num_key_value_heads"):
        heads = config.positive("swa_num_attention_heads", default=heads)
        kv_heads = config.positive("swa_num_key_value_heads")
        head_dim = config.positive("swa_head_dim", default=head_dim)
    return heads, kv_heads, head_dim


def value_width(config: Fields, family: Family, kind: CacheKind, head_dim: int) -> int:
    if not family.own_value_width:
        return head_dim
    name = "swa_v_head_dim" if kind == "sliding" and config.has("swa_v_head_dim") else "v_head_dim"
    return config.positive(name, default=head_dim)


def keys_are_values(config: Fields, kind: CacheKind) -> bool:
    """Gemma 4's global layers store one matrix; vLLM loads it twice and keeps both keys and values."""
    return kind == "full" and config.flag("attention_k_eq_v")


def latent(config: Fields) -> list[Parameter]:
    """Multi-head latent attention (MLA): keys and values of all heads from one short vector."""
    hidden, heads = config.positive("hidden_size"), config.positive("num_attention_heads")
    rank, rope = config.positive("kv_lora_rank"), config.integer("qk_rope_head_dim")
    nope, value = config.positive("qk_nope_head_dim"), config.positive("v_head_dim")
    bias = config.flag("attention_bias")
    query_rank = config.integer("q_lora_rank", default=0)
    if query_rank:
        parameters = linear("self_attn.q_a_proj", query_rank, hidden, bias=bias)
        parameters += norm("self_attn.q_a_layernorm", query_rank)
        parameters += linear("self_attn.q_b_proj", heads * (nope + rope), query_rank, "rows")
    else:
        parameters = linear("self_attn.q_proj", heads * (nope + rope), hidden, "rows")
    parameters += linear("self_attn.kv_a_proj_with_mqa", rank + rope, hidden, bias=bias)
    parameters += norm("self_attn.kv_a_layernorm", rank)
    parameters += linear("self_attn.kv_b_proj", heads * (nope + value), rank, "rows")
    parameters += linear("self_attn.o_proj", hidden, heads * value, "columns", bias=bias)
    # After loading vLLM keeps kv_b_proj a second time, in the model's data type and split into W_UK and W_UV
    # (MLAAttention.process_weights_after_loading).
    parameters.append(Parameter("self_attn.w_uk_uv", heads * (nope + value), rank, split="rows", in_files=False))
    if config.has("index_topk"):
        parameters += _indexer(config, hidden, query_rank or hidden)
    return parameters


def latent_caches(config: Fields) -> tuple[Cache, ...]:
    entry = Cache("latent", width=config.positive("kv_lora_rank") + config.integer("qk_rope_head_dim"))
    if not config.has("index_topk"):
        return (entry,)
    width = config.positive("index_head_dim")
    return entry, Cache("indexer", bytes_per_token=width + -(-width // INDEXER_SCALE_BLOCK) * 4)


def _indexer(config: Fields, hidden: int, query_rank: int) -> list[Parameter]:
    heads, width = config.positive("index_n_heads"), config.positive("index_head_dim")
    return [
        *linear("self_attn.indexer.wq_b", heads * width, query_rank),
        *linear("self_attn.indexer.wk", width, hidden),
        *norm("self_attn.indexer.k_norm", width, bias=True),
        plain("self_attn.indexer.weights_proj", heads, hidden),
    ]


def _without_file(parameter: Parameter) -> Parameter:
    return replace(parameter, in_files=False)
