"""What a person sees of the preview and does with the form."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Locator, Page

FIELD = "#batch_connect_session_context_"
PANEL = "#llm_hoster_preview"
READ_PANEL = """() => {
  const panel = document.querySelector("#llm_hoster_preview");
  const text = (node) => node.textContent;
  return {
    verdict: text(panel.querySelector(".alert")),
    facts: Object.fromEntries([...panel.querySelectorAll("dt")].map((dt) => [text(dt), text(dt.nextElementSibling)])),
    suggestions: [...panel.querySelectorAll("li")].map((li) => [text(li.querySelector("span")), text(li.lastChild)]),
  };
}"""

SET_FIELDS = """(values) => {
  for (const [name, value] of Object.entries(values)) {
    const field = document.getElementById(`batch_connect_session_context_${name}`);
    field.value = value;
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }
}"""


@dataclass(frozen=True)
class Preview:
    verdict: str
    facts: dict[str, str]
    suggestions: dict[str, str]  # the button's words -> the sentence before it


class FormPage:
    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def open(self, **values: str) -> FormPage:
        self.page.goto(self.url)
        return self.set(**values)

    def set(self, **values: str) -> FormPage:
        """Set the values with the events of a person's changes, in an instant; `enter` does what a person does."""
        self.page.evaluate(SET_FIELDS, values)
        return self

    def field(self, name: str) -> Locator:
        return self.page.locator(FIELD + name)

    def enter(self, name: str, value: str) -> None:
        """Choose or type, after unfolding More where the field lies in it."""
        field = self.field(name)
        if field.evaluate("field => Boolean(field.closest('details:not([open])'))"):
            self.page.locator("summary").click()
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)

    def value(self, name: str) -> str:
        return self.field(name).input_value()

    @property
    def preview(self) -> Preview:
        read = self.page.evaluate(READ_PANEL)
        return Preview(read["verdict"], read["facts"], {label: text for text, label in read["suggestions"]})

    def take(self, label: str) -> None:
        self.page.get_by_role("button", name=f"Take {label}", exact=True).click()

    def launch(self) -> str:
        """Press Launch and give the portal's alert."""
        self.page.get_by_role("button", name="Launch").click()
        alert = self.page.locator(".alert-danger pre").inner_text()
        self.page.wait_for_load_state()  # The form's script runs after its text is there.
        return alert
