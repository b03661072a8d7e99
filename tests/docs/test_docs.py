"""The documentation names what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import llm_hoster

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    [REPOSITORY / "README.md", REPOSITORY / "requirements" / "README.md", *(REPOSITORY / "docs").rglob("*.md")]
)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def relative(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    found, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        links = [
            link.partition("#")[0] for link in LINK.findall(page.read_text()) if link.partition("#")[0][-3:] == ".md"
        ]
        waiting += [(page.parent / link).resolve() for link in links if not link.startswith("https://")]
    assert [relative(page) for page in PAGES if page not in found] == []


def test_every_setting_of_a_site_is_explained() -> None:
    page = (REPOSITORY / "docs" / "adding-a-site.md").read_text()
    site = yaml.safe_load((REPOSITORY / "config" / "site.yml").read_text())
    assert [setting for setting in site if f"| `{setting}` |" not in page] == []


def test_every_setting_of_a_site_is_in_the_table_of_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    site = yaml.safe_load((REPOSITORY / "config" / "site.yml").read_text())
    assert [setting for setting in site if f"`{setting}`" not in readme] == []


def test_every_attribute_of_the_form_is_in_the_table_of_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    form = yaml.safe_load((REPOSITORY / "form.yml").read_text())
    assert [attribute for attribute in form["form"] if f"`{attribute}`" not in readme] == []


def test_every_verb_of_the_makefile_that_a_page_names_exists() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {verb for page in PAGES for verb in re.findall(r"\bmake ([a-z-]+)", page.read_text())}
    assert {"demo", "smoke", "test", "test-fast", "install"} <= named
    assert named - verbs == set()


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == llm_hoster.__version__


def test_the_readme_names_the_folder_of_this_version() -> None:
    assert f"PREFIX/app/{llm_hoster.__version__}/" in (REPOSITORY / "README.md").read_text()
