"""Which models are refused: those that neither write nor embed, and those that bring program code of their own."""

from __future__ import annotations

import re

from llm_hoster.catalogue.compiled import Task
from llm_hoster.errors import ArchitectureError
from llm_hoster.fit.architecture import Architecture, read_architecture
from llm_hoster.models_command.publication import Publication

WRITES_TEXT = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
# What the hub calls a model's purpose where it is not to write.
OTHER_PURPOSES = frozenset(
    (
        "automatic-speech-recognition", "audio-classification", "audio-to-audio", "depth-estimation",
        "fill-mask", "image-classification", "image-feature-extraction", "image-segmentation", "image-to-image",
        "object-detection", "text-classification", "text-ranking", "text-to-audio", "text-to-image", "text-to-speech",
        "text-to-video", "token-classification", "zero-shot-classification", "zero-shot-image-classification",
    )
)  # fmt: skip
# Such models have the class of the one that they were trained on.
OTHER_NAMES = re.compile(r"rerank|reward-?model|(?<![a-z])(rm|eagle3?|draft)(?![a-z])")
EMBEDDING_PURPOSES = frozenset(("feature-extraction", "sentence-similarity"))
# Of _EMBEDDING_MODELS in vllm/model_executor/models/registry.py those whose memory is counted as for one that writes.
EMBEDS_TEXT = ("ForCausalLM", "LlamaModel", "MistralModel", "Qwen2Model")
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


def task_of(publication: Publication) -> Task:
    """Believe the publisher's words, and then the name: the class alone is often that of the model it was made from."""
    head = publication.head
    embeds = head.pipeline_tag in EMBEDDING_PURPOSES or head.library_name == "sentence-transformers"
    return "embed" if embeds or "embed" in publication.name else "chat"


def require_servable(publication: Publication) -> Architecture:
    """Give the architecture; raise ArchitectureError with the reason why the form cannot offer the model."""
    source = publication.source
    classes = publication.architectures
    if not classes:
        raise ArchitectureError(f"{source}: its config.json names no class in `architectures`: vLLM needs one.")
    purpose = publication.head.pipeline_tag
    if purpose in OTHER_PURPOSES:
        raise _of_no_use(source, purpose)
    expected = EMBEDS_TEXT if task_of(publication) == "embed" else WRITES_TEXT
    if publication.config.get("is_encoder_decoder") is True or not classes[0].endswith(expected):
        raise _of_no_use(source, classes[0][:80])
    if OTHER_NAMES.search(publication.name):
        raise _of_no_use(source, publication.name)
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


def _of_no_use(source: str, found: str) -> ArchitectureError:
    return ArchitectureError(
        f"{source}: does neither write nor embed texts as vLLM's language models do ({found}): expected a model for "
        f"chats, of a class that ends in {_or(WRITES_TEXT)}, or one for embeddings, in {_or(EMBEDS_TEXT)}."
    )


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
