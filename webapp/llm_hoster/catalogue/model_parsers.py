"""Which of vLLM's parsers a model needs: without one, tool calls stay text and reasoning is mixed into the answer.

The node asks this about models that people type, so nothing is imported that takes time. Where it cannot be told which
parser is right, none is named: a wrong one for reasoning would hide the whole answer, and some refuse every question
when the tokenizer lacks their tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

TOOL_OPTION = "--tool-call-parser"
REASONING_OPTION = "--reasoning-parser"
TOOL_SWITCH = "--enable-auto-tool-choice"

# All that vLLM 0.32 has: vllm/tool_parsers/__init__.py and vllm/reasoning/__init__.py.
TOOL_PARSERS = frozenset(
    (
        "apertus", "cohere_command3", "cohere_command4", "deepseek_v3", "deepseek_v31", "deepseek_v32", "deepseek_v4",
        "deepseek_v41", "dots", "ernie45", "functiongemma", "gemma4", "gigachat3", "glm45", "glm47", "granite",
        "granite-20b-fc", "granite4", "hermes", "hf", "hunyuan_a13b", "hy_v3", "hy_v4", "inkling", "internlm",
        "jamba", "k2_horizon", "kimi_k2", "kimi_k3", "lfm2", "ling3", "llama3_json", "llama4_json", "llama4_pythonic",
        "longcat", "mimo", "minicpm5", "minimax_m2", "minimax_m3", "mistral", "muse_glimmer", "olmo3", "openai",
        "phi4_mini_json", "plamo3", "poolside_v1", "pythonic", "qwen3_coder", "qwen3_json", "qwen3_xml", "seed_oss",
        "step3", "step3p5", "xlam",
    )
)  # fmt: skip
REASONING_PARSERS = frozenset(
    (
        "cohere_command3", "cohere_command4", "deepseek_r1", "deepseek_v3", "deepseek_v4", "deepseek_v41", "ernie45",
        "gemma4", "glm45", "glm47", "granite", "granite_thinking_parser", "hf", "holo2", "hunyuan_a13b", "hy_v3",
        "hy_v4", "inkling", "k2_horizon", "kimi_k2", "kimi_k3", "ling3", "mimo", "minicpmv", "minimax_m2",
        "minimax_m2_append_think", "minimax_m3", "mistral", "muse_glimmer", "nemotron_v3", "olmo3", "openai_gptoss",
        "plamo3", "poolside_v1", "qwen3", "seed_oss", "step3", "step3p5",
    )
)  # fmt: skip


class Rule(NamedTuple):
    """For these model types (none = any), where the name holds the pattern: these parsers, "" for none."""

    model_types: str
    name: str
    tool: str = ""
    reasoning: str = ""


# The first that matches counts. From docs/features/tool_calling.md and reasoning_outputs.md of vLLM, and where those
# say nothing from the parsers themselves.
RULES = (
    # Models that were trained on another one answer as they were trained, whatever their config.json says.
    Rule("", r"embed|rerank|reward"),
    Rule("", r"functiongemma", "functiongemma"),
    Rule("", r"toolace", "pythonic"),
    Rule("", r"xlam", "xlam"),
    Rule("", r"hermes-[234]", "hermes"),
    Rule("", r"holo2", "hermes", "holo2"),
    Rule("", r"gigachat-?3", "gigachat3"),
    Rule("", r"qwq", "hermes", "deepseek_r1"),
    Rule("qwen2 qwen3 llama", r"deepseek-r1", "", "deepseek_r1"),
    Rule("", r"(?<![a-z])base(?![a-z])"),
    # Qwen: hybrid models think unless they are told not to; those named Instruct and Coder never do.
    Rule("qwen2 qwen2_moe", "", "hermes"),
    Rule("qwen3 qwen3_moe qwen3_next", r"coder", "qwen3_coder"),
    Rule("qwen3 qwen3_moe qwen3_next qwen3_vl qwen3_vl_moe", r"thinking", "hermes", "qwen3"),
    Rule(
        "qwen3 qwen3_moe", r"qwen3-[\d.]+b(-a[\d.]+b)?(-(fp8|awq|gptq|int[48]|nvfp4|w\d+a\d+).*)?$", "hermes", "qwen3"
    ),
    Rule("qwen3 qwen3_moe qwen3_next qwen3_vl qwen3_vl_moe", "", "hermes"),
    Rule("qwen3_5 qwen3_5_moe qwen3_5_text qwen3_5_moe_text", "", "qwen3_coder", "qwen3"),
    # Gemma 4 without "it" in its name was not taught to answer.
    Rule("gemma4 gemma4_text gemma4_unified", r"^(?!.*gemma-4)|(?<![a-z])it(?![a-z])", "gemma4", "gemma4"),
    Rule("gpt_oss", "", "openai", "openai_gptoss"),
    # Llama 4's own format; Llama 3.1 to 3.3 are told from older ones by their way to long contexts, see _is_llama_31.
    Rule("llama4 llama4_text", "", "llama4_pythonic"),
    # The first generations of Mistral know no tools, and their tokenizers lack the tokens that the parser looks for.
    Rule("mistral mixtral", r"[78]b-.*v0\.[12]"),
    Rule("mistral mistral3 ministral3 mistral4", r"magistral|ministral-3.*reasoning", "mistral", "mistral"),
    Rule("mistral mistral3 ministral3 mistral4 mixtral", r"(mi|ma)[a-z]*stral|mixtral|devstral|codestral", "mistral"),
    Rule("deepseek_v3", r"v3\.[12]", "deepseek_v31", "deepseek_v3"),
    Rule("deepseek_v3", r"r1-0528", "deepseek_v3", "deepseek_r1"),
    Rule("deepseek_v3", r"r1", "", "deepseek_r1"),
    Rule("deepseek_v3", r"v3-0324", "deepseek_v3"),
    Rule("deepseek_v32", "", "deepseek_v32", "deepseek_v3"),
    Rule("deepseek_v4", "", "deepseek_v4", "deepseek_v4"),
    Rule("deepseek_v41", "", "deepseek_v41", "deepseek_v41"),
    Rule("kimi_k2", r"thinking", "kimi_k2", "kimi_k2"),
    Rule("kimi_k2 kimi_linear", "", "kimi_k2"),
    Rule("kimi_k25", "", "kimi_k2", "kimi_k2"),
    Rule("kimi_k3", "", "kimi_k3", "kimi_k3"),
    Rule("glm4_moe", r"4\.[789]", "glm47", "glm45"),
    Rule("glm4_moe glm4v_moe", "", "glm45", "glm45"),
    Rule("glm4_moe_lite glm_moe_dsa", "", "glm47", "glm45"),
    Rule("minimax_m2", "", "minimax_m2", "minimax_m2"),
    Rule("minimax_m3_vl", "", "minimax_m3", "minimax_m3"),
    Rule("nemotron_h", r"nemotron-3|3-(nano|super|ultra)", "qwen3_coder", "nemotron_v3"),
    Rule("granitemoehybrid", "", "granite4"),
    Rule("granite granitemoe", "", "granite"),
    Rule("olmo3", r"think", "olmo3", "olmo3"),
    Rule("olmo3", "", "olmo3"),
    Rule("seed_oss", "", "seed_oss", "seed_oss"),
    Rule("ernie4_5_moe", r"thinking", "ernie45", "ernie45"),
    Rule("hunyuan_v1_moe", r"a13b", "hunyuan_a13b", "hunyuan_a13b"),
    Rule("hy_v3", "", "hy_v3", "hy_v3"),
    Rule("hy_v4", "", "hy_v4", "hy_v4"),
    Rule("step3_vl", "", "step3", "step3"),
    Rule("step3p5", "", "step3p5", "step3p5"),
    Rule("phi3", r"phi-4-mini-instruct", "phi4_mini_json"),
    Rule("phi3", r"phi-4.*reasoning", "", "deepseek_r1"),
    Rule("jamba", "", "jamba"),
    Rule("lfm2 lfm2_moe", "", "lfm2"),
    Rule("exaone4", "", "hermes"),
    Rule("apertus", "", "apertus"),
    Rule("longcat_flash", "", "longcat"),
    Rule("mimo_v2_flash", "", "mimo", "mimo"),
    Rule("laguna", "", "poolside_v1", "poolside_v1"),
    Rule("muse_glimmer", "", "muse_glimmer", "muse_glimmer"),
    Rule("inkling_mm_model", "", "inkling", "inkling"),
)


def parsers_for(config: Mapping[str, object], *, name: str = "") -> list[str]:
    """Give vLLM's arguments for a model's tool calls and reasoning; `name` is its Hugging Face id or folder."""
    tool, reasoning = _find(str(config.get("model_type") or ""), _last_part(name), config)
    arguments = [TOOL_SWITCH, TOOL_OPTION, tool] if tool else []
    return [*arguments, REASONING_OPTION, reasoning] if reasoning else arguments


def _find(model_type: str, name: str, config: Mapping[str, object]) -> tuple[str, str]:
    for rule in RULES:
        if rule.model_types and model_type not in rule.model_types.split():
            continue
        if re.search(rule.name, name):
            return rule.tool, rule.reasoning
    if model_type == "llama" and "nemotron" not in name and _is_llama_31(config):
        return "llama3_json", ""
    return "", ""


def _is_llama_31(config: Mapping[str, object]) -> bool:
    for field in ("rope_scaling", "rope_parameters"):
        rope = config.get(field)
        if isinstance(rope, Mapping) and "llama3" in (rope.get("rope_type"), rope.get("type")):
            return True
    return False


def _last_part(name: str) -> str:
    """Take a folder of the Hugging Face cache for the id that it stands for."""
    cached = re.search(r"models--[^/]+--([^/]+)/snapshots/", name)
    last = cached.group(1) if cached else name.rstrip("/").rpartition("/")[2]
    return last.lower()[:200]
