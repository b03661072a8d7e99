"""One field of form.yml, in the few keys that OnDemand 3.1 to 4.3 all read."""

from __future__ import annotations

import json
from dataclasses import dataclass

# Browsers compile `pattern` with the RegExp `v` flag, in which a bare hyphen or slash in a class is an error.
SLURM_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,62}"
HUGGING_FACE_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,95}\/[A-Za-z0-9][A-Za-z0-9._\-]{0,95}"
FOLDER_PATTERN = r"\/[^\x00-\x1f\x7f]{0,1023}"
SLURM_NAME_LENGTH = 63
FOLDER_LENGTH = 1024


# Texts and bools; of `options` pairs of label and value.
Settings = dict[str, str | bool | list[tuple[str, str]]]


@dataclass(frozen=True)
class Field:
    name: str
    settings: Settings

    def as_lines(self) -> list[str]:
        """Write it below `attributes:`. A JSON string is a YAML string, so YAML takes none for a number or a date."""
        lines = [f"  {self.name}:"]
        for key, value in self.settings.items():
            if isinstance(value, list):
                lines.append(f"    {key}:")
                lines += [f"      - [{as_yaml(label)}, {as_yaml(option)}]" for label, option in value]
            else:
                lines.append(f"    {key}: {as_yaml(value)}")
        return lines


def as_yaml(value: str | bool) -> str:
    return json.dumps(value, ensure_ascii=False)


def select(name: str, label: str, help_: str, options: list[tuple[str, str]], *, value: str) -> Field:
    return Field(name, {"widget": "select", "label": label, "help": help_, "value": value, "options": options})


def number(name: str, label: str, help_: str, *, value: int, low: int, high: int) -> Field:
    settings: Settings = {"widget": "number_field", "label": label, "help": help_, "value": str(value)}
    return Field(name, settings | {"min": str(low), "max": str(high), "step": "1", "required": True})


def text(name: str, label: str, help_: str, *, pattern: str, length: int, example: str = "") -> Field:
    settings: Settings = {"widget": "text_field", "label": label, "help": help_}
    settings |= {"pattern": pattern, "maxlength": str(length)}
    return Field(name, settings | ({"placeholder": example} if example else {}))


def check_box(name: str, label: str) -> Field:
    return Field(name, {"widget": "check_box", "label": label})
