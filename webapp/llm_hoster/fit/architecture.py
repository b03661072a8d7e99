"""What of a model's config.json decides how much memory it takes: its layers, their weights, what they keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.attention import (
    grouped_query,
    grouped_query_cache,
    head_counts,
    latent,
    latent_caches,
)
from llm_hoster.fit.audio import audio_tower
from llm_hoster.fit.checkpoint import Checkpoint, read_checkpoint
from llm_hoster.fit.config_fields import Fields
from llm_hoster.fit.context_length import native_max_model_len
from llm_hoster.fit.families import FAMILIES, Family, Repeated
from llm_hoster.fit.feed_forward import dense, expert_width, experts_of, is_mixture_layer, mixture, shared_width
from llm_hoster.fit.layer import Cache, Layer
from llm_hoster.fit.layer_kinds import LayerKind, layer_kinds
from llm_hoster.fit.parameters import Parameter, linear, norm, plain, vector
from llm_hoster.fit.recurrent import (
    delta_attention,
    gated_delta_net,
    mamba1,
    mamba2,
    short_convolution,
)
from llm_hoster.fit.searched_blocks import block_fields, has_blocks
from llm_hoster.fit.vision import vision_tower

# Where models with several parts keep the one that writes.
WRAPPERS = ("text_config", "llm_config", "language_config", "thinker_config")
DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2, "half": 2, "float": 4}
EXPERTS_PER_TOKEN = ("num_experts_per_tok", "top_k_experts", "moe_k", "num_experts_per_token")
PREDICTION_LAYERS_MAX = 8
DENSE_WIDTHS = ("intermediate_size_mlp", "shared_intermediate_size")
FIELDS_OF_A_LLAMA = ("hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size")


@dataclass(frozen=True)
class Architecture:
    name: str
    """The class that config.json names, e.g. Qwen3ForCausalLM."""
    model_type: str
    is_estimate: bool
    """A part of it is not known layer by layer: counted by the formula of a Llama."""
    native_max_model_len: int
    num_attention_heads: int
    num_key_value_heads: int
    hidden_size: int
    vocab_size: int
    experts_per_token: int
    expert_width: int
    dtype: str
    checkpoint: Checkpoint
    layers: tuple[Layer, ...]
    first: tuple[Parameter, ...]
    """Embeddings and what else lies before the layers."""
    last: tuple[Parameter, ...]
    """The last norm and the matrix that words are chosen by; not there when it is the embeddings."""
    tower: tuple[Parameter, ...]
    """For pictures and sound."""
    extra: tuple[Parameter, ...]
    """In the files and not loaded: layers that predict several tokens at once."""
    is_tied: bool
    repeated: Repeated
    """What vLLM keeps on every pipeline stage, not on those alone that need it."""

    @property
    def quantization(self) -> str:
        """How the published weights are quantised: "" or fp8, awq, gptq, mxfp4, compressed-tensors, modelopt, ..."""
        return self.checkpoint.method

    @property
    def is_mixture(self) -> bool:
        """Of experts."""
        return self.expert_width > 0

    @property
    def file_bytes_per_element(self) -> int:
        return DTYPES.get(self.dtype, 2)

    @cached_property
    def distinct_layers(self) -> tuple[tuple[Layer, int], ...]:
        """Equal layers are one object: each of them, and how often it is there."""
        counts = Counter(map(id, self.layers))
        return tuple((layer, counts[key]) for key, layer in {id(layer): layer for layer in self.layers}.items())


def read_architecture(config: Mapping[str, object]) -> Architecture:
    """Raise ArchitectureError where config.json lacks what counts."""
    whole = Fields(config)
    names = whole.items("architectures", str)
    inner = _innermost(whole)
    model_type = inner.text("model_type") or whole.text("model_type")
    family = FAMILIES.get(model_type)
    text = Fields(inner.values, inner.where, _defaults(whole, inner, family))
    missing = [name for name in FIELDS_OF_A_LLAMA if not text.has(name) and name != "num_hidden_layers"]
    if missing:
        raise ArchitectureError(
            f"config.json of model_type {model_type or whole.text('model_type') or 'unknown'!r} has no "
            f"{', '.join(missing)}: a language model with the fields of a Llama was expected"
        )
    return _Reader(whole, text, family or Family(), family is None, names[0] if names else model_type).read()


@dataclass(frozen=True)
class _Reader:
    """One config.json on its way to an Architecture."""

    whole: Fields
    text: Fields
    family: Family
    is_estimate: bool
    name: str

    def read(self) -> Architecture:
        text, checkpoint = self.text, read_checkpoint(self.whole, self.text)
        kinds = layer_kinds(text, self.family)
        eyes, eyes_are_exact = vision_tower(self.whole, text)
        ears, ears_are_exact = audio_tower(self.whole, text)
        known: dict[Layer, Layer] = {}
        layers = [self._at(index)._layer(index, kind, checkpoint, len(kinds)) for index, kind in enumerate(kinds)]
        tied = self._is_tied()
        has_experts = experts_of(text) > 0
        return Architecture(
            name=self.name,
            model_type=text.text("model_type") or self.whole.text("model_type"),
            is_estimate=self.is_estimate or not (eyes_are_exact and ears_are_exact),
            native_max_model_len=native_max_model_len(text, self.whole.text("model_type")),
            num_attention_heads=text.positive("num_attention_heads"),
            num_key_value_heads=1 if self._is_latent() else head_counts(self._at(0).text, self.family, "full")[1],
            hidden_size=text.positive("hidden_size"),
            vocab_size=text.positive("vocab_size"),
            experts_per_token=text.integer(*EXPERTS_PER_TOKEN, default=0) if has_experts else 0,
            expert_width=expert_width(text) if has_experts else 0,
            dtype=self._dtype(),
            checkpoint=checkpoint,
            # Equal layers are one object, so that what is worked out for one holds for all.
            layers=tuple(known.setdefault(layer, layer) for layer in layers),
            first=tuple(self._first()),
            last=tuple(self._last(tied)),
            # Publishers leave towers in 16 bits; should one not, the size of its files says so.
            tower=(*eyes, *ears),
            extra=tuple(self._extra(checkpoint, len(kinds))),
            is_tied=tied,
            repeated="embeddings and lm_head" if self.is_estimate else self.family.repeated,
        )

    def _at(self, index: int) -> _Reader:
        """The reader for a layer that has other fields than the rest."""
        heads = self.text.items("num_attention_heads_per_layer", int)
        if has_blocks(self.text):
            return replace(self, text=block_fields(self.text, index))
        if index < len(heads):
            return replace(self, text=self.text.but(num_attention_heads=heads[index]))
        return self

    def _layer(self, index: int, kind: LayerKind, checkpoint: Checkpoint, count: int) -> Layer:
        mixer, caches = self._mixer(index, kind, count)
        network, width = self._network(index, kind, count)
        hidden = self.text.positive("hidden_size")
        norms = [
            each for name in self._norms(mixer, network) for each in norm(name, hidden, bias=self.family.norm_bias)
        ]
        parameters = [*norms, *mixer, *network, *self._beside(index)]
        stored = tuple(checkpoint.store(each, f"layers.{index}.") for each in parameters)
        return Layer(caches, stored, _mixer_width(mixer, hidden), width)

    def _norms(self, mixer: list[Parameter], network: list[Parameter]) -> tuple[str, ...]:
        """A layer without one of its halves has no norm for it."""
        names = self.family.norms
        if self.family.separate_blocks or (mixer and network):
            return names
        return names[1:] if network else names[:1]

    def _mixer(self, index: int, kind: LayerKind, count: int) -> tuple[list[Parameter], tuple[Cache, ...]]:
        """What mixes tokens in this layer, and what it keeps for it."""
        text, family = self.text, self.family
        if kind == "mlp" or kind == "moe":
            return [], ()
        if kind == "recurrent":
            parameters, cache = self._recurrent()
            return parameters, (cache,)
        if self._is_latent():
            return latent(text), latent_caches(text)
        shared_from = count - text.integer("num_kv_shared_layers", default=0)
        shares_cache = 0 < shared_from <= index
        parameters = grouped_query(text, family, kind, shares_cache=shares_cache)
        return parameters, () if shares_cache else (grouped_query_cache(text, family, kind),)

    def _recurrent(self) -> tuple[list[Parameter], Cache]:
        text = self.text
        if self.family.recurrent in ("gated_delta", "gated_delta_fused"):
            return gated_delta_net(text, fused=self.family.recurrent == "gated_delta_fused")
        if self.family.recurrent == "kda":
            return delta_attention(text)
        if self.family.recurrent == "mamba1":
            return mamba1(text)
        if self.family.recurrent == "convolution":
            return short_convolution(text)
        return mamba2(text, "mixer" if self.family.separate_blocks else "mamba")

    def _network(self, index: int, kind: LayerKind, count: int) -> tuple[list[Parameter], int]:
        """What works on each token alone, and how wide its widest row is."""
        text, family = self.text, self.family
        if family.separate_blocks and kind not in ("mlp", "moe"):
            return [], 0
        is_mixture = kind == "moe" or (kind != "mlp" and is_mixture_layer(text, index))
        width = 0 if is_mixture and not family.dense_beside_experts else self._dense_width(index, count)
        if not is_mixture and not width:
            return [], 0
        if not is_mixture:
            return dense(text, family, width, family.dense_name), width
        widest = max(expert_width(text) * text.integer(*EXPERTS_PER_TOKEN, default=1), shared_width(text))
        parameters = mixture(text, family, family.feed_forward_name)
        if family.dense_beside_experts:
            return [*dense(text, family, width, "mlp"), *parameters], max(widest, width)
        return parameters, widest

    def _dense_width(self, index: int, count: int) -> int:
        text = self.text
        widths = text.get("intermediate_size")
        if isinstance(widths, list) and widths:
            return text.items("intermediate_size", int)[min(index, len(widths) - 1)]
        name = next((each for each in DENSE_WIDTHS if text.integer(each, default=0)), "intermediate_size")
        shared_from = count - text.integer("num_kv_shared_layers", default=0)
        double = text.flag("use_double_wide_mlp") and 0 < shared_from <= index
        if has_blocks(text):
            return text.integer("intermediate_size")
        if text.flag("block_auto_adjust_ff_dim"):
            return _adjusted_width(text)
        return text.positive(name) * (2 if double else 1)

    def _beside(self, index: int) -> list[Parameter]:
        """Gemma 4's: a scale for each layer, embeddings for each layer, norms around the experts."""
        if not self.family.wide_full_layers:
            return []
        hidden = self.text.positive("hidden_size")
        parameters = [vector("layer_scalar", 1)]
        inner = self.text.integer("hidden_size_per_layer_input", default=0)
        if inner:
            parameters += linear("per_layer_input_gate", inner, hidden)
            parameters += linear("per_layer_projection", hidden, inner)
            parameters += norm("post_per_layer_input_norm", hidden)
        if experts_of(self.text):
            parameters += [vector("router.scale", hidden), vector("router.per_expert_scale", experts_of(self.text))]
            for name in ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2", "pre_feedforward_layernorm_2"):
                parameters += norm(name, hidden)
        return parameters

    def _first(self) -> list[Parameter]:
        text = self.text
        hidden, vocabulary = text.positive("hidden_size"), text.positive("vocab_size")
        parameters = [plain("embed_tokens", vocabulary, hidden, "vocabulary")]
        inner = text.integer("hidden_size_per_layer_input", default=0) if self.family.wide_full_layers else 0
        if inner:
            width = inner * text.positive("num_hidden_layers")
            per_layer = text.positive("vocab_size_per_layer_input")
            parameters.append(plain("embed_tokens_per_layer", per_layer, width, "vocabulary"))
            parameters += linear("per_layer_model_projection", width, hidden, "rows")
            parameters += norm("per_layer_projection_norm", inner)
        return parameters

    def _last(self, tied: bool) -> list[Parameter]:
        hidden, vocabulary = self.text.positive("hidden_size"), self.text.positive("vocab_size")
        parameters = norm("norm", hidden, bias=self.family.norm_bias)
        if not tied and not self._is_embedding_model():
            parameters.append(plain("lm_head", vocabulary, hidden, "vocabulary"))
            if self.family.says(self.text, self.family.lm_head_bias):
                parameters.append(vector("lm_head.bias", vocabulary, "vocabulary"))
        return parameters

    def _extra(self, checkpoint: Checkpoint, count: int) -> list[Parameter]:
        """The layers that predict several tokens at once, with embeddings of their own in some families."""
        text = self.text
        hidden, vocabulary = text.positive("hidden_size"), text.positive("vocab_size")
        parameters = [each for name in ("enorm", "hnorm", "norm") for each in norm(name, hidden)]
        parameters.append(plain("eh_proj", hidden, 2 * hidden))
        if self.family.prediction_embeddings:
            parameters += [plain("embed_tokens", vocabulary, hidden), plain("shared_head.head", vocabulary, hidden)]
        layers = text.integer("mtp_num_hidden_layers", "num_nextn_predict_layers", default=0)
        layers = min(layers, PREDICTION_LAYERS_MAX)
        layer = self._layer(count - 1, "full", checkpoint, count) if layers else None
        return [*parameters, *layer.parameters] * layers if layer else []

    def _is_latent(self) -> bool:
        return self.text.has("kv_lora_rank") and (self.family.latent or self.is_estimate)

    def _is_tied(self) -> bool:
        """A wrapped config may say it outside; there False is what a class writes that never looked inside."""
        return (
            self.text.flag("tie_word_embeddings")
            if self.text.has("tie_word_embeddings")
            else self.whole.flag("tie_word_embeddings")
        )

    def _is_embedding_model(self) -> bool:
        return self.name.endswith("Model") and not self.name.endswith("LMHeadModel")

    def _dtype(self) -> str:
        for fields in (self.whole, self.text):
            for name in ("dtype", "torch_dtype"):
                if fields.has(name):
                    return fields.text(name).removeprefix("torch.")
        # vLLM then looks into the files; what is quantised or new is bfloat16.
        return "bfloat16"


def _adjusted_width(text: Fields) -> int:
    """LFM2 states a width that is cut to two thirds and rounded up (Lfm2MLP in vLLM)."""
    stated = text.positive("block_ff_dim", "intermediate_size")
    multiple = text.positive("block_multiple_of", default=256)
    width = int(text.number("block_ffn_dim_multiplier", 1.0) * int(2 * stated / 3))
    return max(1, -(-width // multiple)) * multiple


def _mixer_width(mixer: list[Parameter], hidden: int) -> int:
    """The rows that come out of its first matrices and the columns that go into its last."""
    matrices = [each for each in mixer if each.is_linear]
    made = sum(each.rows for each in matrices if each.split != "columns" and each.columns <= hidden)
    return made + max((each.columns for each in matrices if each.split == "columns"), default=0)


def _innermost(whole: Fields) -> Fields:
    """The part of a wrapped config that describes the language model."""
    fields = whole
    for _ in range(len(WRAPPERS)):
        name = next((each for each in WRAPPERS if isinstance(fields.get(each), Mapping)), None)
        part = fields.part(name) if name else None
        if part is None:
            break
        fields = part
    return fields


def _defaults(whole: Fields, inner: Fields, family: Family | None) -> Mapping[str, object]:
    """What the text part leaves out: the family's defaults, and what some publishers write outside."""
    outside = {name: whole.get(name) for name in ("tie_word_embeddings",) if whole.has(name)}
    return {**(family.defaults if family else {}), **outside} if inner is not whole else (family or Family()).defaults
