"""Names of modules as checkpoints list them: plain, with *, or "re:" and a regular expression."""

from __future__ import annotations

import re

from llm_hoster.fit.config_fields import Fields

# vLLM looks weights up under these, whatever a publisher wraps its language model in. The longest first.
PREFIXES = (
    "model.language_model.",
    "language_model.model.",
    "model.text_model.",
    "language_model.",
    "thinker.model.",
    "backbone.",
    "model.",
    "",
)
# An expression of somebody else's: what could keep Python busy for hours is not tried.
LENGTH_MAX = 300
REPETITIONS_MAX = 3
REPETITION = re.compile(r"(?<!\\)[*+{]")
REPEATED_GROUP = re.compile(r"(?<!\\)\)[*+{]")


class ModuleNames:
    """`path` is a module below its prefix, e.g. layers.3.mlp.gate. A name matches the module and all within it."""

    def __init__(self, config: Fields, *fields: str) -> None:
        """Read the lists in these fields; raise ArchitectureError for an expression that is none."""
        self.plain: set[str] = set()
        self.patterns: list[re.Pattern[str]] = []
        for field in fields:
            for text in config.items(field, str):
                self._add(config, field, text)

    def __bool__(self) -> bool:
        return bool(self.plain or self.patterns)

    def has(self, path: str) -> bool:
        parts = path.split(".")
        runs = (".".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1))
        if self.plain and not self.plain.isdisjoint(runs):
            return True
        return any(pattern.search(prefix + path) for pattern in self.patterns for prefix in PREFIXES)

    def _add(self, config: Fields, field: str, text: str) -> None:
        if text.startswith("re:"):
            self._add_pattern(config, field, text[3:])
            return
        name = text.removesuffix(".weight").strip("*").strip(".")
        if "*" in name:
            self._add_pattern(config, field, rf"(^|\.){re.escape(name)}(\.|$)".replace(r"\*", "[^.]*"))
        elif name:
            prefix = next(each for each in PREFIXES if name.startswith(each))
            self.plain.add(name.removeprefix(prefix))

    def _add_pattern(self, config: Fields, field: str, text: str) -> None:
        repetitions = len(REPETITION.findall(text))
        if len(text) > LENGTH_MAX or repetitions > REPETITIONS_MAX or REPEATED_GROUP.search(text):
            raise config.fault(field, text, f"at most {REPETITIONS_MAX} repetitions in an expression")
        try:
            self.patterns.append(re.compile(text))
        except (re.error, OverflowError, RecursionError) as error:
            raise config.fault(field, text, "a regular expression") from error
