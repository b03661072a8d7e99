"""Which models are refused: those that write no text, and those that bring program code of their own."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.architecture import Architecture, read_architecture
from llm_hoster.models_command.publication import Publication

WRITES_TEXT = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
# What the hub calls a model's purpose where it is not to write.
OTHER_PURPOSES = frozenset(
    (
        "automatic-speech-recognition", "audio-classification", "audio-to-audio", "depth-estimation",
        "feature-extraction", "fill-mask", "image-classification", "image-feature-extraction", "image-segmentation",
        "image-to-image", "object-detection", "sentence-similarity", "text-classification", "text-ranking",
        "text-to-audio", "text-to-image", "text-to-speech", "text-to-video", "token-classification",
        "zero-shot-classification", "zero-shot-image-classification",
    )
)  # fmt: skip
# Such models have the class of the one that they were trained on.
OTHER_NAMES = re.compile(r"embed|rerank|reward-?model|(?<![a-z])(rm|eagle3?|draft)(?![a-z])")
# Kinds of models whose publishers added code for transformers (auto_map) before it, or vLLM 0.32, had its own. vLLM
# then takes its own and runs none of theirs.
KNOWN_TO_VLLM = frozenset(
    (
        "apertus", "chatglm", "dbrx", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "deepseek_v41",
        "dots1", "ernie4_5", "ernie4_5_moe", "exaone4", "exaone_moe", "falcon", "falcon_h1", "glm4", "glm4_moe",
        "glm4_moe_lite", "glm_moe_dsa", "gpt_oss", "hunyuan_v1_dense", "hunyuan_v1_moe", "hy_v3", "hy_v4",
        "inkling_mm_model", "jamba", "kimi_k2", "kimi_k25", "kimi_k3", "kimi_linear", "kimi_vl", "laguna", "lfm2",
        "lfm2_moe", "longcat_flash", "mimo_v2_flash", "minicpm3", "minimax", "minimax_m2", "minimax_m3_vl", "mpt",
        "muse_glimmer", "nemotron", "nemotron_h", "olmo3", "phi", "phi3", "phimoe", "seed_oss", "solar_open",
        "stablelm", "starcoder2", "step3_text", "step3_vl", "step3p5",
    )
)  # fmt: skip


def require_servable(publication: Publication) -> Architecture:
    """Give the architecture; raise ArchitectureError with the reason why the form cannot offer the model."""
    source, name = publication.source, PurePosixPath(publication.source).name.lower()
    classes = publication.architectures
    if not classes:
        raise ArchitectureError(f"{source}: its config.json names no class in `architectures`: vLLM needs one.")
    purpose = publication.head.pipeline_tag
    if purpose in OTHER_PURPOSES or publication.head.library_name == "sentence-transformers":
        raise _no_text(source, purpose or "sentence-transformers")
    if publication.config.get("is_encoder_decoder") is True or not classes[0].endswith(WRITES_TEXT):
        raise _no_text(source, classes[0][:80])
    if OTHER_NAMES.search(name):
        raise _no_text(source, name)
    _require_known_code(publication)
    return read_architecture(publication.config)


def _require_known_code(publication: Publication) -> None:
    """A config class and a tokenizer of the repository's own would be run in everybody's job."""
    for part, file, where in (
        ("AutoConfig", "config.json", publication.config),
        ("AutoTokenizer", "tokenizer_config.json", publication.tokenizer_config),
    ):
        named = where.get("auto_map")
        brings_code = (isinstance(named, dict) and part in named) or (
            part == "AutoTokenizer" and isinstance(named, list)
        )
        if brings_code and publication.model_type not in KNOWN_TO_VLLM:
            kind = publication.model_type[:80] or "unknown"
            raise ArchitectureError(
                f"{publication.source}: needs program code out of its own repository ({part} in `auto_map` of {file}), "
                f"because vLLM 0.32 has none for models of type {kind!r}. LLM Hoster runs no such code "
                "(--trust-remote-code): look for a version of the model that needs none."
            )


def _no_text(source: str, found: str) -> ArchitectureError:
    return ArchitectureError(
        f"{source}: does not write texts ({found}): expected a model for chats, of a class that ends in "
        f"{', '.join(WRITES_TEXT[:-1])} or {WRITES_TEXT[-1]}."
    )
