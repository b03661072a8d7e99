"""Launches of an app: what OnDemand sends, what Launch makes of it, and what Python says of the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from llm_hoster.catalogue.choice import Choice, FormValues, choose
from llm_hoster.catalogue.compiled import Catalogue
from llm_hoster.errors import ChoiceError
from tests.ood.renderer import render_all

SUBMIT = "submit.yml.erb"


def load(app: Path) -> Catalogue:
    return Catalogue.model_validate(json.loads((app / "catalogue.json").read_text()))


def form_values(**values: str) -> dict[str, str]:
    """Give what a person sends who changes nothing but `values`, on Alpine."""
    return {
        "model": "qwen3-4b",
        "typed_model": "",
        "gpu_type": "a100_80gb",
        "num_gpus": "1",
        "bc_num_hours": "4",
        "qos": "",
        "auto_accounts": "ucb-general",
        "reservation": "",
        "context_length": "auto",
        "quantization": "none",
        "preset": "interactive",
        "lora_folder": "",
        "idle_minutes": "60",
        "chain_length": "1",
        "bc_email_on_started": "0",
    } | values


def submit_all(app: Path, choices: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Send each with the mark of the app's own form, unless it brings one."""
    file, form = str(app / SUBMIT), {"form_id": load(app).form_id}
    return render_all({"file": file, "kind": "submit", "values": form | dict(values)} for values in choices)


def submit(app: Path, values: Mapping[str, str]) -> dict[str, Any]:
    return submit_all(app, [values])[0]


def launch_all(app: Path, choices: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Do what `submit_all` does, but for the reading of the files."""
    file = str(app / "launch.rb")
    return render_all({"file": file, "kind": "launch", "values": dict(values)} for values in choices)


def python_choice(catalogue: Catalogue, sent: Mapping[str, str]) -> Choice | str:
    """Give the choice or the sentence."""
    values = dict(sent) | {"account": sent.get("auto_accounts", sent.get("bc_account", ""))}
    known = [field.name for field in fields(FormValues)]
    try:
        return choose(catalogue, FormValues(**{name: values[name] for name in known if name in values}))
    except ChoiceError as error:
        return str(error)


def expected_script(choice: Choice, sent: Mapping[str, str]) -> dict[str, Any]:
    """Build `script` of submit.yml anew, for places on one node."""
    offer = choice.offer
    native = [f"--partition={offer.partition}"]
    native += [f"--qos={choice.qos.name}"] if choice.qos.name else []
    native += [f"--gres={offer.gres}"] if offer.gres else []
    native += [f"--constraint={offer.constraint}"] if offer.constraint else []
    native += ["--nodes=1", "--ntasks-per-node=1", f"--cpus-per-task={offer.cores}", f"--mem={offer.memory_gib}G"]
    script: dict[str, Any] = {"wall_time": choice.hours * 3600, "native": [*native, "--no-requeue"]}
    account = sent.get("auto_accounts", sent.get("bc_account", ""))
    script |= {"accounting_id": account} if account else {}
    return script | ({"reservation_id": sent["reservation"]} if sent.get("reservation") else {})
