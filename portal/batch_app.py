"""A batch-connect app: a folder with manifest.yml, form.yml and the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.attribute import Attribute
from portal.ruby import RubyError, ask_ruby

FIELD_PREFIX = "batch_connect_session_context"


@dataclass(frozen=True)
class BatchApp:
    """`problem` is set when the app's files cannot be read: OnDemand lists such an app without a link."""

    root: Path
    token: str
    title: str
    description_html: str
    manifest: dict[str, Any]
    attributes: tuple[Attribute, ...]
    problem: str | None = None

    @classmethod
    def from_folder(cls, root: Path, token: str, accounts: Sequence[str] = ()) -> BatchApp:
        """Read the app; never raises: what is wrong is in `problem`."""
        try:
            parsed = ask_ruby({"do": "form", "app_root": str(root)})
        except RubyError as error:
            return cls(root, token, token, "", {}, (), problem=error.message)
        form, manifest = parsed["form"], parsed["manifest"]
        given = form.get("attributes") or {}
        attributes = [Attribute.from_form(id_, given.get(id_), accounts) for id_ in map(str, form.get("form") or [])]
        if isinstance(form.get("cluster"), str):
            # From 4.0 on OnDemand sends the only cluster along as a hidden field.
            hidden = {"widget": "hidden_field", "value": form["cluster"]}
            attributes.insert(0, Attribute("cluster", hidden))
        title = str(form.get("title") or manifest.get("name") or token)
        return cls(root, token, title, parsed["description_html"], manifest, tuple(attributes))

    @property
    def form_script(self) -> str | None:
        """The text of form.js, which OnDemand puts into the form's page."""
        path = self.root / "form.js"
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def context(self, submitted: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return each attribute's value. As in OnDemand only known names are kept, and of those any string."""
        context = {attribute.id: attribute.default for attribute in self.attributes}
        for attribute in self.attributes:
            name = f"{FIELD_PREFIX}[{attribute.id}]"
            if submitted is not None and attribute.fixed is None and name in submitted:
                context[attribute.id] = submitted[name]
        return context

    def user_defined(self, context: Mapping[str, str]) -> dict[str, str]:
        """Return what OnDemand saves as user_defined_context.json: all but the fixed attributes."""
        return {attribute.id: context[attribute.id] for attribute in self.attributes if attribute.fixed is None}
