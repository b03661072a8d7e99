"""One attribute of form.yml, with what OnDemand adds by itself: its own widgets, labels, limits and Slurm options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COUNT = {"widget": "number_field", "required": True, "min": 1, "step": 1, "value": "1"}
# What OnDemand knows of its own attributes before form.yml says anything.
OWN_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "auto_accounts": {"widget": "select", "label": "Account"},
    "bc_account": {"widget": "text_field", "label": "Account"},
    "bc_email_on_started": {
        "widget": "check_box",
        "label": "I would like to receive an email when the session starts",
    },
    "bc_num_hours": {"label": "Number of hours", **COUNT},
    "bc_num_slots": {"label": "Number of nodes", **COUNT},
    "bc_queue": {"widget": "text_field", "label": "Queue"},
}
INPUT_TYPES = {
    "date_field": "date",
    "email_field": "email",
    "hidden_field": "hidden",
    "number_field": "number",
    "password_field": "password",
    "text_field": "text",
}
# Everything else that form.yml says of an attribute becomes an HTML attribute of its field, as in OnDemand.
NOT_HTML = {
    "cacheable", "checked_value", "display", "help", "hide_by_default", "html_options", "label", "options", "required",
    "submit", "unchecked_value", "value", "widget",
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """One option of a select."""

    label: str
    value: str
    html: dict[str, str]


@dataclass(frozen=True)
class Attribute:
    """`fixed` holds the value of an attribute that form.yml sets itself: such a one is not shown and not saved."""

    id: str
    settings: dict[str, Any]
    fixed: str | None = None

    @classmethod
    def from_form(cls, id_: str, value: Any, accounts: Sequence[str]) -> Attribute:
        """`accounts` are what OnDemand would learn from sacctmgr for auto_accounts."""
        if value is not None and not isinstance(value, Mapping):
            return cls(id_, {}, fixed=as_ruby_text(value))
        settings = {**OWN_ATTRIBUTES.get(id_, {}), **dict(value or {})}
        if id_ == "auto_accounts":
            settings.setdefault("options", list(accounts))
        return cls(id_, settings)

    @property
    def widget(self) -> str:
        return str(self.settings.get("widget", "text_field"))

    @property
    def input_type(self) -> str:
        return INPUT_TYPES.get(self.widget, "text")

    @property
    def label(self) -> str:
        return str(self.settings.get("label") or self.id.replace("_", " ").title())

    @property
    def help_html(self) -> str:
        return str(self.settings.get("help") or "")

    @property
    def required(self) -> bool:
        return bool(self.settings.get("required"))

    @property
    def checked_value(self) -> str:
        return str(self.settings.get("checked_value", "1"))

    @property
    def unchecked_value(self) -> str:
        return str(self.settings.get("unchecked_value", "0"))

    @property
    def default(self) -> str:
        if self.fixed is not None:
            return self.fixed
        value = self.settings.get("value")
        if value is None and self.widget == "check_box":
            return self.unchecked_value
        return "" if value is None else str(value)

    @property
    def choices(self) -> list[Choice]:
        return [as_choice(option) for option in self.settings.get("options", [])]

    @property
    def html(self) -> dict[str, str]:
        given = {**self.settings, **dict(self.settings.get("html_options") or {})}
        return {str(key): str(value) for key, value in given.items() if key not in NOT_HTML and value is not None}

    def submit(self, value: str) -> dict[str, Any]:
        """Return what OnDemand adds to submit.yml for this value, before submit.yml itself."""
        if self.id == "bc_num_hours":
            return {"script": {"wall_time": seconds_of_hours(value)}}
        if self.id in {"bc_account", "auto_accounts"}:
            return {"script": {"accounting_id": value}} if value.strip() else {}
        if self.id == "bc_queue":
            return {"script": {"queue_name": value}} if value.strip() else {}
        if self.id == "bc_email_on_started":
            return {"script": {"email_on_started": value == self.checked_value}}
        if self.id == "bc_num_slots":
            return {"script": {"native": ["-N", value]}}
        return {}


def as_ruby_text(value: Any) -> str:
    """Write a value of form.yml as Ruby's to_s does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_choice(option: Any) -> Choice:
    """Read an option as OnDemand does: "x", or [label, value, then maps of HTML attributes]."""
    if not isinstance(option, Sequence) or isinstance(option, str):
        return Choice(str(option), str(option), {})
    texts = [str(item) for item in option if not isinstance(item, Mapping)]
    html = {str(key): str(value) for item in option if isinstance(item, Mapping) for key, value in item.items()}
    return Choice(texts[0], texts[1] if len(texts) > 1 else texts[0], html)


def seconds_of_hours(value: str) -> int:
    """Read the hours as Ruby's to_f would, so that nonsense is 0 and not an error."""
    try:
        return int(float(value) * 3600)
    except (ValueError, OverflowError):
        return 0
