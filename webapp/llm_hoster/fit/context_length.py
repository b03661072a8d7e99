"""The longest context that a model itself can, as vLLM derives it (_get_and_verify_max_len in config/model.py)."""

from __future__ import annotations

from collections.abc import Iterator

from llm_hoster.fit.config_fields import Fields

KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
WITHOUT_ANY = 2048
# These leave the length in the config already stretched.
STRETCHED = ("su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "default", "mrope", "")


def native_max_model_len(text: Fields, model_type: str) -> int:
    found = [text.positive(key) for key in KEYS if text.has(key)]
    if text.has("model_max_length"):
        found = [text.positive("model_max_length")]
    longest = min(found, default=WITHOUT_ANY)
    kinds = list(_rope(text))
    if any(_kind(each) == "longrope" for each in kinds):
        return text.positive("original_max_position_embeddings", default=longest)
    if "gemma3" in model_type:
        return longest
    factors = [each.number("factor", 1.0) for each in kinds if _kind(each) not in STRETCHED]
    return int(longest * (factors[-1] if factors else 1.0))


def _kind(rope: Fields) -> str:
    return rope.text("rope_type") or rope.text("type")


def _rope(text: Fields) -> Iterator[Fields]:
    """The rope parameters: one group, or one for each kind of layer."""
    rope = text.part("rope_parameters") or text.part("rope_scaling")
    if rope is None:
        return
    inner = [name for name, value in rope.values.items() if isinstance(value, dict)]
    if not inner:
        yield rope
    for name in inner:
        part = rope.part(name)
        if part is not None:
            yield part
