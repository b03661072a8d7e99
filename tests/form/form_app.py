"""An app whose form is written from a catalogue at hand, behind the stand-in portal's own pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.catalogue.site import Site
from llm_hoster.launch.form import render_form
from llm_hoster.launch.form_script import render_form_script
from portal.dashboard_server import serve_dashboard
from portal.settings import PortalSettings

REPOSITORY = Path(__file__).resolve().parents[2]
FORM_PATH = "/pun/sys/dashboard/batch_connect/sys/llm_hoster/session_contexts/new"
ACCOUNTS = ("ucb-general", "big1_lab", "private")
FIELDS = (
    "model", "typed_model", "gpu_type", "num_gpus", "bc_num_hours", "qos", "auto_accounts", "reservation",
    "context_length", "quantization", "preset", "lora_folder", "idle_minutes", "chain_length",
    "bc_email_on_started",
)  # fmt: skip
# Nothing is launched: the portal's alert says what the browser sent.
SUBMIT = f"<% raise [{', '.join(FIELDS)}].inspect %>"


def make_app(folder: Path, site: Site, catalogue: Catalogue) -> Path:
    shutil.copytree(REPOSITORY / "template", folder / "template")
    shutil.copy(REPOSITORY / "manifest.yml", folder)
    (folder / "form.yml").write_text(render_form(site, catalogue).text)
    (folder / "form.js").write_text(render_form_script(site, catalogue))
    (folder / "submit.yml.erb").write_text(SUBMIT)
    return folder


@contextmanager
def serve_form(app: Path, *, bootstrap: int = 5, strict_csp: bool = False) -> Iterator[str]:
    """Give the address of the form's page."""
    settings = PortalSettings(
        app_root=app,
        data_root=app.parent / "data",
        secret_key="k",
        accounts=ACCOUNTS,
        bootstrap=bootstrap,
        strict_csp=strict_csp,
    )
    with serve_dashboard(settings) as url:
        yield url + FORM_PATH
