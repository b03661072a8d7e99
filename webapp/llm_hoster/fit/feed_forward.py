"""Feed-forward layers: one network for all tokens, or a router and experts."""

from __future__ import annotations

from llm_hoster.fit.config_fields import Fields
from llm_hoster.fit.families import Family
from llm_hoster.fit.parameters import Parameter, linear, plain, vector

EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def experts_of(config: Fields) -> int:
    return config.integer(*EXPERT_COUNTS, default=0)


def dense(config: Fields, family: Family, width: int, name: str = "mlp") -> list[Parameter]:
    hidden, bias = config.positive("hidden_size"), family.says(config, family.mlp_bias)
    parameters = network(name, hidden, width, gated=family.gated, bias=bias)
    if family.activation_parameters:
        parameters.append(vector(f"{name}.act_fn", family.activation_parameters))
    return parameters


def network(name: str, hidden: int, width: int, *, gated: bool = True, bias: bool = False) -> list[Parameter]:
    up = ["gate_proj", "up_proj"] if gated else ["up_proj"]
    parameters = [each for part in up for each in linear(f"{name}.{part}", width, hidden, "rows", bias=bias)]
    return parameters + linear(f"{name}.down_proj", hidden, width, "columns", bias=bias)


def mixture(config: Fields, family: Family, name: str) -> list[Parameter]:
    """Router, experts and the experts that every token passes."""
    hidden, experts = config.positive("hidden_size"), experts_of(config)
    width = expert_width(config)
    latent = config.integer("moe_latent_size", default=0)
    gated, bias = family.gated, family.expert_bias
    parameters = [plain(f"{name}.gate", experts, hidden, bytes_per_element=family.router_bytes)]
    if family.router_bias:
        parameters.append(vector(f"{name}.gate.bias", experts))
    if family.router_correction:
        parameters.append(vector(f"{name}.gate.e_score_correction_bias", experts, bytes_per_element=4))
    up = ["gate_proj", "up_proj"] if gated else ["up_proj"]
    inner = latent or hidden
    for part in up:
        parameters += linear(
            f"{name}.experts.0.{part}", width, inner, "rows", bias=bias, copies=experts, is_expert=True
        )
    parameters += linear(
        f"{name}.experts.0.down_proj", inner, width, "columns", bias=bias, copies=experts, is_expert=True
    )
    if latent:
        parameters += linear(f"{name}.fc1_latent_proj", latent, hidden)
        parameters += linear(f"{name}.fc2_latent_proj", hidden, latent)
    shared = shared_width(config)
    if shared:
        shared_name = "shared_experts" if config.has("n_shared_experts") else "shared_expert"
        parameters += network(f"{name}.{shared_name}", hidden, shared, gated=gated)
    if shared and family.shared_gate:
        parameters.append(plain(f"{name}.shared_expert_gate", 1, hidden))
    return parameters


def expert_width(config: Fields) -> int:
    return config.positive("moe_intermediate_size", "expert_intermediate_size", "intermediate_size")


def shared_width(config: Fields) -> int:
    """The width of all shared experts together."""
    explicit = (
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
    )
    if any(config.has(name) for name in explicit):
        return config.integer(*explicit)
    return config.integer("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", default=0) * expert_width(
        config
    )


def is_mixture_layer(config: Fields, index: int) -> bool:
    """Whether this layer has experts, by the several ways in which families say so."""
    if not experts_of(config):
        return False
    kinds = config.items("mlp_layer_types", str)
    if kinds:
        return index < len(kinds) and kinds[index] == "sparse"
    if config.has("moe_layers"):
        return index in config.items("moe_layers", int)
    if config.has("interleave_moe_layer_step"):
        step = config.integer("interleave_moe_layer_step")
        return step > 0 and (index + 1) % step == 0
    if index in config.items("mlp_only_layers", int):
        return False
    pattern = config.get("moe_layer_freq")
    if isinstance(pattern, list):
        return index < len(pattern) and pattern[index] == 1
    first = config.integer("first_k_dense_replace", "moe_layer_start_index", default=0)
    if index < first:
        return False
    if config.has("expert_layer_period"):
        return index % config.positive("expert_layer_period") == config.integer("expert_layer_offset", default=0)
    step = config.positive("decoder_sparse_step", default=1)
    every = config.positive("moe_layer_freq", "moe_layer_interval", default=1)
    return (index + 1) % step == 0 and index % every == 0
