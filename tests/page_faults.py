"""What axe finds in a page, in light and in dark."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.conftest import REPOSITORY

AXE = REPOSITORY / "tests" / "vendor" / "axe.min.js"


def find_faults(page: Page) -> list[str]:
    """The page's context must have been made with `bypass_csp`."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.add_script_tag(path=AXE)
        violations = page.evaluate("axe.run()")["violations"]
        found += [f"{scheme} {fault['id']}: {node['html']}" for fault in violations for node in fault["nodes"]]
    return found
