"""Layers with a constant state instead of a growing cache: gated delta nets, Mamba 1 and 2, KDA, short convolutions.

State shapes as in vLLM's model_executor/layers/mamba/mamba_utils.py; "auto" is the model's data type.
"""

from __future__ import annotations

from llm_hoster.fit.config_fields import Fields
from llm_hoster.fit.layer import Cache, State
from llm_hoster.fit.parameters import Parameter, linear, norm, plain, vector

# Mamba 2 always (mamba_mixer2.py), KDA with its fast kernel (kda_checkpoint.py): one more for a long prompt's.
KEPT_WITH_CHECKPOINT = 3
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "auto": 0, "": 0}


def gated_delta_net(config: Fields, *, fused: bool) -> tuple[list[Parameter], Cache]:
    """Qwen3-Next (fused projections) and Qwen3.5."""
    hidden, kernel = config.positive("hidden_size"), config.positive("linear_conv_kernel_dim")
    key_heads, value_heads = config.positive("linear_num_key_heads"), config.positive("linear_num_value_heads")
    key_dim, value_dim = config.positive("linear_key_head_dim"), config.positive("linear_value_head_dim")
    keys, values = key_heads * key_dim, value_heads * value_dim
    name = "linear_attn"
    if fused:
        parameters = linear(f"{name}.in_proj_qkvz", 2 * keys + 2 * values, hidden, "rows")
        parameters += linear(f"{name}.in_proj_ba", 2 * value_heads, hidden, "rows")
    else:
        parameters = linear(f"{name}.in_proj_qkv", 2 * keys + values, hidden, "rows")
        parameters += linear(f"{name}.in_proj_z", values, hidden, "rows")
        parameters += linear(f"{name}.in_proj_b", value_heads, hidden, "rows")
        parameters += linear(f"{name}.in_proj_a", value_heads, hidden, "rows")
    parameters.append(plain(f"{name}.conv1d", 2 * keys + values, kernel, "rows"))
    parameters += [vector(f"{name}.dt_bias", value_heads, "rows"), vector(f"{name}.A_log", value_heads, "rows")]
    parameters += norm(f"{name}.norm", value_dim)
    parameters += linear(f"{name}.out_proj", hidden, values, "columns")
    state = State(value_heads * value_dim * key_dim, BYTES.get(config.text("mamba_ssm_dtype"), 0))
    return parameters, Cache("state", states=(State((2 * keys + values) * (kernel - 1)), state))


def mamba2(config: Fields, name: str) -> tuple[list[Parameter], Cache]:
    """Granite 4 (mamba_* names) and Nemotron-H."""
    hidden = config.positive("hidden_size")
    heads = config.positive("mamba_n_heads", "mamba_num_heads")
    width = config.get("mamba_d_head")
    expand = config.positive("mamba_expand", "expand", default=2)
    head_dim = expand * hidden // heads if width == "auto" else config.positive("mamba_d_head", "mamba_head_dim")
    groups = config.positive("mamba_n_groups", "n_groups", default=1)
    state = config.positive("mamba_d_state", "ssm_state_size")
    kernel = config.positive("mamba_d_conv", "conv_kernel", default=4)
    inner = heads * head_dim
    convolved = inner + 2 * groups * state
    bias = config.flag("mamba_proj_bias") or config.flag("use_bias")
    parameters = linear(f"{name}.in_proj", inner + convolved + heads, hidden, "rows", bias=bias)
    parameters.append(plain(f"{name}.conv1d", convolved, kernel, "rows"))
    if config.flag(config.first("mamba_conv_bias", "use_conv_bias"), True):
        parameters.append(vector(f"{name}.conv1d.bias", convolved, "rows"))
    parameters += [vector(f"{name}.{part}", heads, "rows") for part in ("dt_bias", "A_log", "D")]
    if config.flag("mamba_rms_norm", True):
        parameters.append(vector(f"{name}.norm", inner, "rows"))
    parameters += linear(f"{name}.out_proj", hidden, inner, "columns", bias=bias)
    recurrent = State(inner * state, BYTES.get(config.text("mamba_ssm_cache_dtype"), 0))
    grouped = 2 * groups * state * (kernel - 1)
    convolution = State(inner * (kernel - 1), group_elements=grouped, groups=groups)
    return parameters, Cache("state", states=(convolution, recurrent), states_kept=KEPT_WITH_CHECKPOINT)


def mamba1(config: Fields) -> tuple[list[Parameter], Cache]:
    """Jamba."""
    hidden = config.positive("hidden_size")
    inner = config.positive("mamba_expand", default=2) * hidden
    state, kernel = config.positive("mamba_d_state", default=16), config.positive("mamba_d_conv", default=4)
    rank = -(-hidden // 16) if config.get("mamba_dt_rank") in (None, "auto") else config.positive("mamba_dt_rank")
    parameters = linear("mamba.in_proj", 2 * inner, hidden, "rows", bias=config.flag("mamba_proj_bias"))
    parameters.append(plain("mamba.conv1d", inner, kernel, "rows"))
    if config.flag("mamba_conv_bias", True):
        parameters.append(vector("mamba.conv1d.bias", inner, "rows"))
    parameters += linear("mamba.x_proj", rank + 2 * state, inner, "columns")
    parameters += linear("mamba.dt_proj", inner, rank, "rows", bias=True)
    parameters += [plain("mamba.A_log", inner, state, "rows"), vector("mamba.D", inner, "rows")]
    parameters += linear("mamba.out_proj", hidden, inner, "columns", bias=config.flag("mamba_proj_bias"))
    parameters += norm("mamba.dt_layernorm", rank)
    parameters += [vector(f"mamba.{part}_layernorm", state) for part in ("b", "c")]
    return parameters, Cache("state", states=(State(inner * (kernel - 1)), State(inner * state)))


def short_convolution(config: Fields) -> tuple[list[Parameter], Cache]:
    """LFM2."""
    hidden, kernel, bias = config.positive("hidden_size"), config.positive("conv_L_cache"), config.flag("conv_bias")
    parameters = linear("conv.in_proj", 3 * hidden, hidden, "rows", bias=bias)
    parameters.append(plain("conv.conv", hidden, kernel, "rows"))
    if bias:
        parameters.append(vector("conv.conv.bias", hidden, "rows"))
    parameters += linear("conv.out_proj", hidden, hidden, "columns", bias=bias)
    return parameters, Cache("state", states=(State(hidden * (kernel - 1)),))


def delta_attention(config: Fields) -> tuple[list[Parameter], Cache]:
    """Kimi Linear (KDA); its recurrent state is float32."""
    part = config.part("linear_attn_config")
    if part is None:
        raise config.fault("linear_attn_config", None, "a group of fields")
    hidden, heads, width = config.positive("hidden_size"), part.positive("num_heads"), part.positive("head_dim")
    kernel, inner = part.positive("short_conv_kernel_size"), heads * width
    parameters = [each for name in "qkv" for each in linear(f"self_attn.{name}_proj", inner, hidden, "rows")]
    parameters += [plain(f"self_attn.{name}_conv1d", inner, kernel, "rows") for name in "qkv"]
    for gate in "fg":
        parameters += linear(f"self_attn.{gate}_a_proj", width, hidden)
        parameters += linear(f"self_attn.{gate}_b_proj", inner, width, "rows")
    parameters += linear("self_attn.b_proj", heads, hidden, "rows")
    parameters += [vector("self_attn.dt_bias", inner, "rows"), vector("self_attn.A_log", heads, "rows")]
    parameters += norm("self_attn.o_norm", width)
    parameters += linear("self_attn.o_proj", hidden, inner, "columns")
    states = (State(3 * inner * (kernel - 1)), State(inner * width, 4))
    return parameters, Cache("state", states=states, states_kept=KEPT_WITH_CHECKPOINT)
