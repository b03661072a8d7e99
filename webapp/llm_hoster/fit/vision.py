"""The towers that turn pictures into tokens, by the model_type of vision_config. vLLM loads them with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from llm_hoster.fit.config_fields import Fields
from llm_hoster.fit.parameters import Parameter, linear, norm, plain, vector

LAYERS_MAX = 256


@dataclass(frozen=True)
class Blocks:
    """The repeated part of a tower; the defaults are SigLIP's."""

    gated: bool = False
    qkv_bias: bool = True
    out_bias: bool = True
    mlp_bias: bool = True
    norm_bias: bool = True
    norms: int = 2
    head_norms: int = 0
    scales: int = 0


def vision_tower(whole: Fields, text: Fields) -> tuple[list[Parameter], bool]:
    """The tower's weights, and whether they are known exactly."""
    kind = _type(whole)
    vision = whole.part("vision_config", DEFAULTS.get(kind))
    if vision is None:
        return [], True
    build = TOWERS.get(kind)
    if build is None:
        return _unknown(vision, text), False
    return build(whole, vision, text), True


def _type(whole: Fields) -> str:
    """Some do not name the tower's type, because the model's says it."""
    vision = whole.part("vision_config")
    return (vision.text("model_type") if vision else "") or whole.text("model_type")


def _blocks(vision: Fields, width: int, inner: int, count: int, heads: int, kind: Blocks) -> list[Parameter]:
    if count > LAYERS_MAX:
        raise vision.fault("num_hidden_layers", count, f"at most {LAYERS_MAX}")
    head_dim = vision.positive("head_dim", default=max(1, width // heads))
    row = linear("attn.qkv", 3 * heads * head_dim, width, "rows", bias=kind.qkv_bias)
    row += linear("attn.proj", width, heads * head_dim, "columns", bias=kind.out_bias)
    for part in ("gate_proj", "up_proj") if kind.gated else ("fc1",):
        row += linear(f"mlp.{part}", inner, width, "rows", bias=kind.mlp_bias)
    row += linear("mlp.down_proj", width, inner, "columns", bias=kind.mlp_bias)
    for index in range(kind.norms):
        row += norm(f"norm{index + 1}", width, bias=kind.norm_bias)
    row += [vector(f"head_norm{index}", head_dim) for index in range(kind.head_norms)]
    row += [vector(f"scale{index}", width) for index in range(kind.scales)]
    return [_repeated(each, count) for each in row]


def _repeated(parameter: Parameter, count: int) -> Parameter:
    """Towers are alike in all their layers, so one entry with many copies does."""
    return replace(parameter, name=f"blocks.{parameter.name}", copies=parameter.copies * count)


def _siglip(vision: Fields) -> list[Parameter]:
    width, patch = vision.positive("hidden_size"), vision.positive("patch_size")
    count, heads = vision.positive("num_hidden_layers"), vision.positive("num_attention_heads")
    blocks = _blocks(vision, width, vision.positive("intermediate_size"), count, heads, Blocks())
    patches = (vision.positive("image_size") // patch) ** 2
    embed = linear(
        "embeddings.patch_embedding", width, vision.positive("num_channels", default=3) * patch**2, bias=True
    )
    positions = plain("embeddings.position_embedding", patches, width)
    return [*embed, positions, *blocks, *norm("post_layernorm", width, bias=True)]


def _gemma3(whole: Fields, vision: Fields, text: Fields) -> list[Parameter]:
    width = vision.positive("hidden_size")
    projector = [plain("multi_modal_projector.mm_input_projection_weight", text.positive("hidden_size"), width)]
    return [*_siglip(vision), *projector, *norm("multi_modal_projector.mm_soft_emb_norm", width)]


def _gemma4(whole: Fields, vision: Fields, text: Fields) -> list[Parameter]:
    width, patch = vision.positive("hidden_size"), vision.positive("patch_size")
    count, heads = vision.positive("num_hidden_layers"), vision.positive("num_attention_heads")
    kind = Blocks(gated=True, qkv_bias=False, out_bias=False, mlp_bias=False, norm_bias=False, norms=4, head_norms=2)
    parameters = _blocks(vision, width, vision.positive("intermediate_size"), count, heads, kind)
    parameters += linear("patch_embedder.input_proj", width, 3 * patch**2)
    parameters.append(
        plain("patch_embedder.position_embedding_table", 2 * vision.positive("position_embedding_size"), width)
    )
    if vision.flag("standardize"):
        parameters += [vector("std_bias", width), vector("std_scale", width)]
    return parameters + linear("embed_vision.embedding_projection", text.positive("hidden_size"), width)


def _pixtral(whole: Fields, vision: Fields, text: Fields) -> list[Parameter]:
    width, patch = vision.positive("hidden_size"), vision.positive("patch_size")
    count, heads = vision.positive("num_hidden_layers"), vision.positive("num_attention_heads")
    kind = Blocks(gated=True, qkv_bias=False, out_bias=False, mlp_bias=False, norm_bias=False)
    parameters = _blocks(vision, width, vision.positive("intermediate_size"), count, heads, kind)
    parameters += linear("patch_conv", width, 3 * patch**2) + norm("ln_pre", width)
    hidden, bias = text.positive("hidden_size"), whole.flag("multimodal_projector_bias")
    if whole.has("spatial_merge_size"):
        merged = width * whole.positive("spatial_merge_size") ** 2
        parameters += linear("multi_modal_projector.patch_merger.merging_layer", width, merged)
        parameters += norm("multi_modal_projector.norm", width)
    parameters += linear("multi_modal_projector.linear_1", hidden, width, "rows", bias=bias)
    return parameters + linear("multi_modal_projector.linear_2", hidden, hidden, "columns", bias=bias)


def _qwen2_vl(whole: Fields, vision: Fields, text: Fields) -> list[Parameter]:
    width, merge = vision.positive("embed_dim"), vision.positive("spatial_merge_size") ** 2
    inner = int(width * vision.number("mlp_ratio", 4))
    blocks = _blocks(vision, width, inner, vision.positive("depth"), vision.positive("num_heads"), Blocks())
    return [
        *_qwen_patches(vision, width, bias=False),
        *blocks,
        *_qwen_merger(width, merge, vision.positive("hidden_size"), norm_bias=True),
    ]


def _qwen2_5_vl(whole: Fields, vision: Fields, text: Fields) -> list[Parameter]:
    width, merge = vision.positive("hidden_size"), vision.positive("spatial_merge_size") ** 2
    kind = Blocks(gated=True, norm_bias=False)
    inner = vision.positive("intermediate_size")
    blocks = _blocks(vision, width, inner, vision.positive("depth"), vision.positive("num_heads"), kind)
    out = vision.positive("out_hidden_size")
    return [*_qwen_patches(vision, width, bias=False), *blocks, *_qwen_merger(width, merge, out, norm_bias=False)]


def _qwen3_vl(whole: Fields, vision: Fields, text: Fields) -> list[Parameter]:
    """Qwen3-VL and Qwen3.5; the former has a merger for each layer that it also looks into."""
    width, merge = vision.positive("hidden_size"), vision.positive("spatial_merge_size") ** 2
    inner, out = vision.positive("intermediate_size"), vision.positive("out_hidden_size")
    blocks = _blocks(vision, width, inner, vision.positive("depth"), vision.positive("num_heads"), Blocks())
    positions = plain("pos_embed", vision.positive("num_position_embeddings"), width)
    merger = _qwen_merger(width, merge, out, norm_bias=True)
    for index in range(len(vision.items("deepstack_visual_indexes", int))):
        merger += _qwen_merger(width, merge, out, norm_bias=True, norm_width=width * merge, name=f"deepstack.{index}")
    return [*_qwen_patches(vision, width, bias=True), positions, *blocks, *merger]


def _qwen_patches(vision: Fields, width: int, *, bias: bool) -> list[Parameter]:
    patch = vision.positive("patch_size") ** 2 * vision.positive("temporal_patch_size")
    return linear("patch_embed.proj", width, vision.positive("in_channels", "in_chans", default=3) * patch, bias=bias)


def _qwen_merger(
    width: int, merge: int, out: int, *, norm_bias: bool, norm_width: int = 0, name: str = "merger"
) -> list[Parameter]:
    inner = width * merge
    parameters = norm(f"{name}.norm", norm_width or width, bias=norm_bias)
    parameters += linear(f"{name}.linear_fc1", inner, inner, "rows", bias=True)
    return parameters + linear(f"{name}.linear_fc2", out, inner, "columns", bias=True)


def _llama4(whole: Fields, vision: Fields, text: Fields) -> list[Parameter]:
    width, patch = vision.positive("hidden_size"), vision.positive("patch_size")
    count, heads = vision.positive("num_hidden_layers"), vision.positive("num_attention_heads")
    parameters = _blocks(vision, width, vision.positive("intermediate_size"), count, heads, Blocks())
    patches = (vision.positive("image_size") // patch) ** 2 + 1
    parameters += linear("patch_embedding.linear", width, 3 * patch**2)
    parameters += [vector("class_embedding", width), plain("positional_embedding_vlm", patches, width)]
    parameters += norm("layernorm_pre", width, bias=True) + norm("layernorm_post", width, bias=True)
    inner = int(width / max(vision.number("pixel_shuffle_ratio", 0.5), 1e-3) ** 2)
    middle, out = vision.positive("projector_input_dim"), vision.positive("projector_output_dim")
    parameters += linear("vision_adapter.mlp.fc1", middle, inner, "rows")
    parameters += linear("vision_adapter.mlp.fc2", out, middle, "columns")
    return parameters + linear("multi_modal_projector.linear_1", text.positive("hidden_size"), out)


def _glm4v(whole: Fields, vision: Fields, text: Fields) -> list[Parameter]:
    width, out, merge = (
        vision.positive("hidden_size"),
        vision.positive("out_hidden_size"),
        vision.positive("spatial_merge_size"),
    )
    kind = Blocks(gated=True, qkv_bias=vision.flag("attention_bias"), out_bias=False, mlp_bias=False, norm_bias=False)
    # Its blocks are as wide as the language model (out_hidden_size); intermediate_size is the merger's.
    parameters = _blocks(vision, width, out, vision.positive("depth"), vision.positive("num_heads"), kind)
    patches = (vision.positive("image_size") // vision.positive("patch_size")) ** 2
    parameters += [*_qwen_patches(vision, width, bias=True), plain("embeddings.position_embedding", patches, width)]
    parameters += norm("post_conv_layernorm", width) + norm("post_layernorm", width)
    parameters += linear("downsample", out, width * merge**2, bias=True)
    inner = vision.positive("intermediate_size")
    parameters += linear("merger.proj", out, out) + norm("merger.post_projection_norm", out, bias=True)
    for part in ("gate_proj", "up_proj"):
        parameters += linear(f"merger.{part}", inner, out, "rows")
    return parameters + linear("merger.down_proj", out, inner, "columns")


def _unknown(vision: Fields, text: Fields) -> list[Parameter]:
    """A tower that we do not know: its blocks as SigLIP's, and a projector, where it has the fields for it."""
    width = vision.integer("hidden_size", "embed_dim", "width", default=0)
    count = vision.integer("num_hidden_layers", "depth", "layers", default=0)
    if not width or not count:
        return []
    heads = vision.positive("num_attention_heads", "num_heads", "heads", default=16)
    inner = vision.positive("intermediate_size", default=4 * width)
    hidden = text.positive("hidden_size")
    blocks = _blocks(vision, width, inner, count, heads, Blocks())
    return [*blocks, *linear("projector.linear_1", hidden, 4 * width), *linear("projector.linear_2", hidden, hidden)]


TOWERS: Mapping[str, Callable[[Fields, Fields, Fields], list[Parameter]]] = {
    "siglip_vision_model": _gemma3,
    "gemma4_vision": _gemma4,
    "pixtral": _pixtral,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_moe": _qwen3_vl,
    "qwen3_5": _qwen3_vl,
    "qwen3_5_moe": _qwen3_vl,
    "llama4_vision_model": _llama4,
    "glm4v": _glm4v,
    "glm4v_vision": _glm4v,
    "glm4v_moe": _glm4v,
    "glm4v_moe_vision": _glm4v,
}

# What the towers' classes in transformers 5.19 fill in.
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "siglip_vision_model": {"num_hidden_layers": 12, "num_attention_heads": 12, "num_channels": 3},
    "gemma4_vision": {"patch_size": 16, "position_embedding_size": 10240},
    "pixtral": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 16,
    },
    "qwen2_vl": {
        "depth": 32,
        "embed_dim": 1280,
        "hidden_size": 3584,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "qwen2_5_vl": {
        "depth": 32,
        "hidden_size": 3584,
        "intermediate_size": 3420,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 3584,
    },
}
