"""form.js, the live preview: the script in preview/ below the part of the catalogue that it looks things up in.

OnDemand puts the text of the file into an inline <script> of the form's page.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_hoster.catalogue.choice import FormValues
from llm_hoster.catalogue.compiled import Catalogue, Verdict
from llm_hoster.catalogue.site import Site

# One function of OnDemand's holds them all, so they are put one after the other and import nothing.
PARTS = ("catalogue", "choice", "advice", "price", "suggestion", "panel", "arrangement", "form")
UNCHECKED = "0"  # what OnDemand sends for a check box that is not checked


def render_form_script(site: Site, catalogue: Catalogue) -> str:
    """Write the whole file. The data are ASCII without a `<`, so nothing in them can end the <script>."""
    data = json.dumps(_data(site, catalogue), separators=(",", ":")).replace("<", "\\u003c")
    folder = Path(__file__).with_name("preview")
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in PARTS]
    head = (
        '// Written by `llm-hoster configure`: change that or the site and model files, not this file.\n"use strict";\n'
    )
    return "\n".join([f"{head}const data = {data};\n", *parts])


def _data(site: Site, catalogue: Catalogue) -> dict[str, Any]:
    offers = [(gpu_type, count) for gpu_type, counts in catalogue.offers.items() for count in counts]
    variants = [
        f"{quantization.name}/{preset.name}" for quantization in catalogue.quantizations for preset in catalogue.presets
    ]
    verdicts: dict[str, int] = {}
    fits = {
        model.name: [
            [_remember(verdicts, catalogue.verdict(model.name, *place, variant)) for variant in variants]
            for place in offers
        ]
        for model in catalogue.models
    }
    return {
        "models": [each.model_dump(include={"name", "title", "group"}) for each in catalogue.models],
        "gpu_types": [
            each.model_dump(include={"name", "title", "memory_gib", "is_slice", "note"}) for each in catalogue.gpu_types
        ],
        "offers": [
            {"gpu_type": gpu_type, "num_gpus": count}
            | catalogue.offers[gpu_type][count].model_dump(include={"partition", "qos"})
            for gpu_type, count in offers
        ],
        "places": [offers.index(place) for place in catalogue.places],
        "quantizations": [each.model_dump() for each in catalogue.quantizations],
        "presets": [each.model_dump() for each in catalogue.presets],
        "context_lengths": catalogue.context_lengths,
        "idle_minutes_max": catalogue.idle_minutes_max,
        "allocations": [each.model_dump() for each in catalogue.site.allocations],
        "launch_checks_typed_models": catalogue.site.portal_command is not None,
        "sentences": catalogue.sentences,
        # Of fields that the form does not have, as Launch takes them.
        "defaults": asdict(FormValues()),
        "more_defaults": _more_defaults(site, catalogue),
        "variants": variants,
        "fits": fits,
        "verdicts": [json.loads(verdict) for verdict in verdicts],
    }


def _more_defaults(site: Site, catalogue: Catalogue) -> dict[str, str]:
    """Name the fields that the form shows under More, with what they are when nobody touches them."""
    values = FormValues()
    return {
        "context_length": values.context_length,
        "quantization": catalogue.quantizations[0].name,
        "preset": catalogue.presets[0].name,
        "lora_folder": values.lora_folder,
        "idle_minutes": str(site.defaults.idle_minutes),
        "chain_length": values.chain_length,
        "bc_email_on_started": UNCHECKED,
    }


def _remember(verdicts: dict[str, int], verdict: Verdict) -> int:
    """Give the number of a verdict: thousands of fits have a few hundred different ones."""
    return verdicts.setdefault(json.dumps(_row(verdict)), len(verdicts))


def _row(verdict: Verdict) -> list[Any]:
    if verdict.refusal:
        return [verdict.refusal.kind, verdict.refusal.values]
    return [
        verdict.weights_gib,
        verdict.overhead_gib,
        verdict.kv_cache_gib,
        verdict.max_model_len,
        verdict.people,
        int(verdict.tight),
        verdict.replicas,
    ]
