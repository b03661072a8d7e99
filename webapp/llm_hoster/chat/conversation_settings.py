"""How the model is asked in one conversation; kept with it as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_hoster.chat.setting import PROMPT_MAX, Choice, Number, Schema, Setting, SettingError, StopStrings, Text, Tools

# The bounds are those of vLLM 0.32 (sampling_params.py), and where it has none, of what can be meant.
SETTINGS: Mapping[str, Setting] = {
    "system_prompt": Text(PROMPT_MAX),
    "temperature": Number(0, 2),
    "max_tokens": Number(1, 10_000_000, is_whole=True),
    "thinking": Choice({"on": True, "off": False}),
    "reasoning_effort": Choice({"low": "low", "medium": "medium", "high": "high"}),
    "top_p": Number(0, 1, is_above=True),
    "top_k": Number(0, 1_000_000, is_whole=True),
    "min_p": Number(0, 1),
    "repetition_penalty": Number(0, 10, is_above=True),
    "presence_penalty": Number(-2, 2),
    "frequency_penalty": Number(-2, 2),
    "seed": Number(0, 2**32 - 1, is_whole=True),
    "stop": StopStrings(),
    "json_schema": Schema(),
    "tools": Tools(),
}
# These have the same name in the API.
PASSED_ON = (
    "temperature", "max_tokens", "reasoning_effort", "top_p", "top_k", "min_p", "repetition_penalty",
    "presence_penalty", "frequency_penalty", "seed", "stop", "tools",
)  # fmt: skip
# Models whose reasoning goes by an effort, and those whose tokenizer takes no word of ours.
BY_EFFORT = frozenset({"openai_gptoss"})
UNSWITCHED = BY_EFFORT | {"mistral"}
# What a model's template writes into what is read, beside the messages.
OF_TEMPLATE = ("tools", "chat_template_kwargs")


@dataclass(frozen=True)
class ConversationSettings:
    """None leaves a value to the model: vLLM has it from the model's generation_config.json, or one of its own."""

    system_prompt: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    thinking: bool | None = None
    reasoning_effort: str | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: list[str] | None = None
    json_schema: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ConversationSettings:
        """Leave out what we would not have taken: an imported history may come from anybody."""
        taken: dict[str, Any] = {}
        for name in SETTINGS.keys() & values.keys():
            try:
                taken[name] = SETTINGS[name].check(values[name])
            except ValueError:
                continue
        return cls(**taken)

    @property
    def changed(self) -> list[str]:
        """Name those that differ from the defaults."""
        return [name for name in SETTINGS if getattr(self, name) not in (None, "", [])]

    def to_json(self, former: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Give what is set. What others keep in `former` stays as it is there."""
        others = {name: value for name, value in (former or {}).items() if name not in SETTINGS}
        return others | {name: getattr(self, name) for name in self.changed}

    def first_messages(self) -> list[dict[str, Any]]:
        return [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []

    def request_fields(self, *, goes_on: bool = False) -> dict[str, Any]:
        """Give the fields of the API's request besides the messages. A text that goes on begins no JSON."""
        request = {name: getattr(self, name) for name in PASSED_ON if name in self.changed}
        if self.thinking is not None:
            # The templates of some families call it so and of some so; vLLM leaves out what a template does not know.
            request["chat_template_kwargs"] = {"enable_thinking": self.thinking, "thinking": self.thinking}
        if self.json_schema is not None and not goes_on:
            schema = {"name": "reply", "schema": self.json_schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def template_fields(self) -> dict[str, Any]:
        """Give those of them that change how many tokens the messages are."""
        return {name: value for name, value in self.request_fields().items() if name in OF_TEMPLATE}


@dataclass(frozen=True)
class SettingsForm:
    """What a person has written, what it means, and a sentence for each field of which it means nothing."""

    texts: Mapping[str, str]
    settings: ConversationSettings
    errors: Mapping[str, str]

    @classmethod
    def of(cls, settings: ConversationSettings) -> SettingsForm:
        texts = {name: SETTINGS[name].text_of(getattr(settings, name)) for name in settings.changed}
        return cls(texts, settings, {})

    @classmethod
    def read(cls, written: Mapping[str, str], former: ConversationSettings) -> SettingsForm:
        """A field that the form does not have stays as it was."""
        texts, errors = dict(cls.of(former).texts), {}
        values = {name: getattr(former, name) for name in SETTINGS}
        for name, setting in SETTINGS.items():
            if name not in written:
                continue
            texts[name] = written[name]
            try:
                values[name] = setting.read(written[name])
            except SettingError as error:
                errors[name] = str(error)
        return cls(texts, ConversationSettings(**values), errors)
