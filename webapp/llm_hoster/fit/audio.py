"""The towers that turn sound into tokens, by the model_type of audio_config. vLLM loads them with the model."""

from __future__ import annotations

from dataclasses import replace

from llm_hoster.fit.config_fields import Fields
from llm_hoster.fit.parameters import Parameter, linear, norm, plain, vector

LAYERS_MAX = 256
NORMS_OF_A_LAYER = 9
# A spectrum of 128 bands, halved by each of two convolutions (Gemma4AudioFeatureExtractor in transformers).
BANDS = 128
KERNEL = 3 * 3


def audio_tower(whole: Fields, text: Fields) -> tuple[list[Parameter], bool]:
    """The tower's weights, and whether they are known exactly."""
    if not any(whole.has(name) for name in ("audio_config", "encoder_config", "speech_config")):
        return [], True
    audio = whole.part("audio_config")
    if audio is None or audio.text("model_type") != "gemma4_audio":
        return [], False
    return _gemma4(audio, text), True


def _gemma4(audio: Fields, text: Fields) -> list[Parameter]:
    width, heads = audio.positive("hidden_size"), audio.positive("num_attention_heads")
    count, out = audio.positive("num_hidden_layers"), audio.positive("output_proj_dims")
    channels = audio.items("subsampling_conv_channels", int)
    if count > LAYERS_MAX or len(channels) != 2:
        raise audio.fault("subsampling_conv_channels", channels, f"two, and at most {LAYERS_MAX} layers")
    layer = []
    for part in ("feed_forward1", "feed_forward2"):
        layer += linear(f"{part}.ffw_layer_1", 4 * width, width) + linear(f"{part}.ffw_layer_2", width, 4 * width)
    for part in ("q_proj", "k_proj", "v_proj", "post", "relative_k_proj"):
        layer += linear(f"self_attn.{part}", width, width)
    layer += linear("lconv1d.linear_start", 2 * width, width) + linear("lconv1d.linear_end", width, width)
    layer.append(plain("lconv1d.depthwise_conv1d", width, audio.positive("conv_kernel_size")))
    layer += [vector("self_attn.per_dim_scale", width // heads)]
    layer += [vector(f"norm{index}", width) for index in range(NORMS_OF_A_LAYER)]
    first, second = channels
    return [
        *(replace(each, name=f"audio.{each.name}", copies=each.copies * count) for each in layer),
        plain("subsample.layer0.conv", first, KERNEL),
        plain("subsample.layer1.conv", second, first * KERNEL),
        *norm("subsample.layer0.norm", first),
        *norm("subsample.layer1.norm", second),
        *linear("subsample.input_proj_linear", width, second * BANDS // 4),
        *linear("output_proj", out, width, bias=True),
        *linear("embed_audio.embedding_projection", text.positive("hidden_size"), out),
    ]
