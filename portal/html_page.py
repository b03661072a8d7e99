"""What a program reads from a page without a browser: forms, fields, texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """`fields` are the values a browser would send if the person changed nothing."""

    id: str
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class HtmlPage(HTMLParser):
    """Parse once; then look at `forms`, `inputs` (id -> value), `attributes` and `texts`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.inputs: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.form: Form | None = None
        self.select: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.append((tag, values))
        self.open.append(values.get("class") or tag)
        if tag == "form":
            self.form = Form(values.get("id", ""), values.get("action", ""), values.get("method", "get").lower())
            self.forms.append(self.form)
        elif tag == "input":
            self.read_input(values)
        elif tag == "select":
            self.select = values.get("name")
        elif tag == "option":
            self.read_option(values)

    def read_input(self, values: dict[str, str]) -> None:
        if "id" in values:
            self.inputs[values["id"]] = values.get("value", "")
        is_sent = values.get("type") not in {"checkbox", "radio", "submit"} or "checked" in values
        if self.form is not None and "name" in values and is_sent:
            self.form.fields[values["name"]] = values.get("value", "")

    def read_option(self, values: dict[str, str]) -> None:
        if self.form is None or self.select is None:
            return
        # A browser takes the first option until one is marked.
        if "selected" in values or self.select not in self.form.fields:
            self.form.fields[self.select] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = None
        elif tag == "select":
            self.select = None

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.texts.append((self.open[-1], data.strip()))

    def find_form(self, action_part: str) -> Form | None:
        """Return the first form whose action contains the text."""
        return next((form for form in self.forms if action_part in form.action), None)

    def text_of(self, class_name: str) -> list[str]:
        """Return the texts that directly follow a tag of this class (or, without a class, of this name)."""
        return [text for place, text in self.texts if place == class_name]

    def attribute(self, name: str) -> str | None:
        """Return the first value of an attribute anywhere on the page."""
        return next((values[name] for _, values in self.tags if name in values), None)
