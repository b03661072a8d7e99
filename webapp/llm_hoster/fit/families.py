"""What transformers and vLLM know of a family of models and config.json does not say, by its model_type.

Checked against the families' modules in transformers 5.19 and vLLM 0.32 (model_executor/models).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from llm_hoster.fit.config_fields import Fields

TWO_NORMS = ("input_layernorm", "post_attention_layernorm")
POST_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")
FOUR_NORMS = (*TWO_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")

Repeated = Literal["", "embeddings", "embeddings and lm_head"]


def _frozen(**values: object) -> Mapping[str, object]:
    return MappingProxyType(values)


@dataclass(frozen=True)
class Family:
    """The defaults are Llama's. A text in place of a truth value is the field of config.json that says it."""

    qkv_bias: bool | str = "attention_bias"
    out_bias: bool | str = "attention_bias"
    mlp_bias: bool | str = "mlp_bias"
    qk_norm: Literal["", "head", "width"] = ""
    output_gate: bool = False
    """Queries are twice as wide: the other half decides what of attention's output goes on."""
    head_gate: bool = False
    """The same with one number for each head."""
    sinks: bool = False
    own_value_width: bool = False
    wide_full_layers: bool = False
    latent: bool = False
    norms: tuple[str, ...] = TWO_NORMS
    norm_bias: bool = False
    gated: bool = True
    activation_parameters: int = 0
    """Numbers that a feed-forward network learns for its activation."""
    expert_bias: bool = False
    router_bias: bool = False
    router_bytes: int = 0
    """Of each weight of the router in the files; 0 = as the model's data type."""
    router_correction: bool = False
    shared_gate: bool = False
    lm_head_bias: bool | str = False
    attention_name: str = "self_attn"
    feed_forward_name: str = "mlp"
    dense_name: str = "mlp"
    dense_beside_experts: bool = False
    separate_blocks: bool = False
    """Each layer is one of attention, recurrence or a network, not the first two followed by the last."""
    recurrent: Literal["", "gated_delta", "gated_delta_fused", "mamba2", "mamba1", "convolution", "kda"] = ""
    prediction_embeddings: bool = True
    repeated: Repeated = ""
    """What the family's class in vLLM makes without asking for the pipeline stage."""
    sliding: Literal["types", "all", "use_sliding_window", "alternating", "every_sixth", "every_fourth"] = "types"
    """Where layer_types is missing: which layers have the window of `sliding_window`."""
    defaults: Mapping[str, object] = field(default_factory=_frozen)

    def says(self, config: Fields, value: bool | str) -> bool:
        return config.flag(value) if isinstance(value, str) else value


QWEN2 = Family(qkv_bias=True, out_bias=False, mlp_bias=False, sliding="use_sliding_window")
QWEN3 = Family(qk_norm="head", mlp_bias=False, sliding="use_sliding_window", defaults=_frozen(head_dim=128))
QWEN3_MOE = replace(QWEN3, repeated="embeddings and lm_head")
QWEN3_NEXT = Family(
    repeated="embeddings and lm_head",
    qk_norm="head",
    mlp_bias=False,
    output_gate=True,
    shared_gate=True,
    recurrent="gated_delta_fused",
    prediction_embeddings=False,
    defaults=_frozen(
        head_dim=256,
        linear_conv_kernel_dim=4,
        linear_key_head_dim=128,
        linear_value_head_dim=128,
        linear_num_key_heads=16,
        linear_num_value_heads=32,
        full_attention_interval=4,
        mtp_num_hidden_layers=1,
    ),
)
QWEN3_5 = replace(QWEN3_NEXT, recurrent="gated_delta", repeated="embeddings")
DEEPSEEK = Family(latent=True, mlp_bias=False, router_correction=True, defaults=_frozen(first_k_dense_replace=0))
GEMMA = _frozen(head_dim=256, tie_word_embeddings=True)
GEMMA3 = Family(
    repeated="embeddings and lm_head",
    qk_norm="head",
    mlp_bias=False,
    norms=FOUR_NORMS,
    sliding="every_sixth",
    defaults=_frozen(
        vocab_size=262208,
        hidden_size=2304,
        intermediate_size=9216,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=256,
        max_position_embeddings=131072,
        sliding_window=4096,
        tie_word_embeddings=True,
    ),
)
GEMMA4 = Family(
    repeated="embeddings and lm_head",
    qk_norm="head",
    mlp_bias=False,
    norms=FOUR_NORMS,
    wide_full_layers=True,
    feed_forward_name="moe",
    dense_beside_experts=True,
    sliding="every_sixth",
    defaults=_frozen(
        vocab_size=262144,
        num_key_value_heads=4,
        head_dim=256,
        global_head_dim=512,
        max_position_embeddings=131072,
        sliding_window=512,
        hidden_size_per_layer_input=256,
        vocab_size_per_layer_input=262144,
        tie_word_embeddings=True,
    ),
)
GLM_MOE = Family(
    qk_norm="head", out_bias=False, mlp_bias=False, router_correction=True, defaults=_frozen(use_qk_norm=False)
)
LLAMA4 = Family(feed_forward_name="feed_forward", mlp_bias=False, defaults=_frozen(num_shared_experts=1))
GRANITE_HYBRID = Family(
    repeated="embeddings and lm_head", recurrent="mamba2", feed_forward_name="block_sparse_moe", dense_name="shared_mlp"
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(),
        "mistral": Family(qkv_bias=False, out_bias=False, mlp_bias=False, sliding="all"),
        "ministral": Family(qkv_bias=False, out_bias=False, mlp_bias=False),
        "ministral3": Family(qkv_bias=False, out_bias=False, mlp_bias=False, sliding="all"),
        "mixtral": Family(
            repeated="embeddings and lm_head",
            qkv_bias=False,
            out_bias=False,
            mlp_bias=False,
            sliding="all",
            feed_forward_name="block_sparse_moe",
        ),
        "qwen2": QWEN2,
        "qwen2_vl": QWEN2,
        "qwen2_vl_text": QWEN2,
        "qwen2_5_vl": QWEN2,
        "qwen2_5_vl_text": QWEN2,
        "qwen2_moe": Family(
            repeated="embeddings and lm_head",
            qkv_bias=True,
            out_bias=False,
            mlp_bias=False,
            shared_gate=True,
            sliding="use_sliding_window",
        ),
        "qwen3": QWEN3,
        "qwen3_vl": QWEN3,
        "qwen3_vl_text": QWEN3,
        "qwen3_moe": QWEN3_MOE,
        "qwen3_vl_moe": QWEN3_MOE,
        "qwen3_vl_moe_text": QWEN3_MOE,
        "qwen3_omni_moe_text": QWEN3_MOE,
        "qwen3_next": QWEN3_NEXT,
        "qwen3_5": QWEN3_5,
        "qwen3_5_text": QWEN3_5,
        "qwen3_5_moe": QWEN3_5,
        "qwen3_5_moe_text": QWEN3_5,
        "gemma": Family(repeated="embeddings and lm_head", mlp_bias=False, defaults=GEMMA),
        "gemma2": Family(
            repeated="embeddings and lm_head", mlp_bias=False, norms=FOUR_NORMS, sliding="alternating", defaults=GEMMA
        ),
        "gemma3": GEMMA3,
        "gemma3_text": GEMMA3,
        "gemma4": GEMMA4,
        "gemma4_text": GEMMA4,
        "gemma4_unified": GEMMA4,
        "gemma4_unified_text": GEMMA4,
        "gpt_oss": Family(
            repeated="embeddings and lm_head",
            sinks=True,
            expert_bias=True,
            router_bias=True,
            sliding="alternating",
            defaults=_frozen(head_dim=64, attention_bias=True, sliding_window=128),
        ),
        "deepseek_v2": replace(DEEPSEEK, router_correction=False),
        "deepseek_v3": DEEPSEEK,
        "deepseek_v32": DEEPSEEK,
        "kimi_k2": DEEPSEEK,
        "glm4_moe_lite": DEEPSEEK,
        "glm_moe_dsa": replace(DEEPSEEK, prediction_embeddings=False),
        "glm4_moe": GLM_MOE,
        "glm4v_moe_text": GLM_MOE,
        "glm4": Family(
            out_bias=False,
            mlp_bias=False,
            norms=(*TWO_NORMS, "post_self_attn_layernorm", "post_mlp_layernorm"),
        ),
        "glm": Family(out_bias=False, mlp_bias=False),
        "phi3": Family(qkv_bias=False, out_bias=False, mlp_bias=False, sliding="all"),
        "phimoe": Family(
            repeated="embeddings and lm_head",
            norm_bias=True,
            lm_head_bias="lm_head_bias",
            feed_forward_name="block_sparse_moe",
            sliding="all",
        ),
        "olmo2": Family(qk_norm="width", mlp_bias=False, norms=POST_NORMS),
        "olmo3": Family(qk_norm="width", mlp_bias=False, norms=POST_NORMS, sliding="every_fourth"),
        "olmoe": Family(repeated="embeddings and lm_head", qk_norm="width", mlp_bias=False),
        "granite": Family(),
        "granitemoehybrid": GRANITE_HYBRID,
        "granitemoe": Family(repeated="embeddings and lm_head", feed_forward_name="block_sparse_moe"),
        "nemotron": Family(gated=False, norm_bias=True),
        "nemotron-nas": Family(),
        "nemotron_h": Family(
            repeated="embeddings and lm_head",
            qkv_bias=False,
            out_bias=False,
            gated=False,
            router_correction=True,
            recurrent="mamba2",
            separate_blocks=True,
            dense_name="mixer",
            attention_name="mixer",
            feed_forward_name="mixer",
            norms=("norm",),
            defaults=_frozen(head_dim=128, mamba_ssm_cache_dtype="float32"),
        ),
        "exaone4": Family(qk_norm="head", qkv_bias=False, out_bias=False, mlp_bias=False, norms=POST_NORMS),
        "smollm3": Family(sliding="use_sliding_window"),
        "seed_oss": Family(out_bias="attention_out_bias"),
        "starcoder2": Family(
            qkv_bias="use_bias",
            out_bias="use_bias",
            mlp_bias="use_bias",
            gated=False,
            norm_bias=True,
            sliding="all",
            defaults=_frozen(use_bias=True, tie_word_embeddings=True),
        ),
        "cohere": Family(
            repeated="embeddings and lm_head",
            mlp_bias=False,
            norms=("input_layernorm",),
            defaults=_frozen(tie_word_embeddings=True),
        ),
        "cohere2": Family(
            repeated="embeddings and lm_head",
            mlp_bias=False,
            norms=("input_layernorm",),
            sliding="every_fourth",
            defaults=_frozen(sliding_window=4096, tie_word_embeddings=True),
        ),
        "ernie4_5": Family(qkv_bias="use_bias", out_bias="use_bias", mlp_bias="use_bias"),
        "ernie4_5_moe": Family(
            router_bytes=4, qkv_bias="use_bias", out_bias="use_bias", mlp_bias="use_bias", router_correction=True
        ),
        "llama4": LLAMA4,
        "llama4_text": LLAMA4,
        "laguna": Family(
            qk_norm="head", qkv_bias=False, out_bias=False, mlp_bias=False, head_gate=True, router_correction=True
        ),
        "minimax_m2": Family(
            qk_norm="width",
            mlp_bias=False,
            router_correction=True,
            feed_forward_name="block_sparse_moe",
        ),
        "hunyuan_v1_dense": Family(qk_norm="head"),
        "apertus": Family(qk_norm="head", gated=False, activation_parameters=4),
        "lfm2": Family(
            repeated="embeddings",
            qkv_bias=False,
            out_bias=False,
            mlp_bias=False,
            qk_norm="head",
            recurrent="convolution",
            norms=("operator_norm", "ffn_norm"),
            defaults=_frozen(
                tie_word_embeddings=True, conv_L_cache=3, block_auto_adjust_ff_dim=True, block_multiple_of=256
            ),
        ),
        "jamba": Family(
            repeated="embeddings and lm_head", qkv_bias=False, out_bias=False, mlp_bias=False, recurrent="mamba1"
        ),
        "kimi_linear": replace(DEEPSEEK, recurrent="kda"),
    }
)
