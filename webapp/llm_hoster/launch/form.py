"""form.yml, written from the catalogue. It keeps to what OnDemand 3.1 to 4.3 all have, and needs no JavaScript."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from llm_hoster.catalogue.compiled import Catalogue, GpuType, Model
from llm_hoster.catalogue.site import Site

FORM_ID_LENGTH = 16  # as in submit.yml.erb
ACCOUNT_HELP = {
    "auto_accounts": "The allocation that pays for this session.",
    "bc_account": "The allocation that pays for this session. Leave it empty to use your default one.",
}
# Browsers compile `pattern` with the RegExp `v` flag, in which a bare hyphen in a class is an error.
ACCOUNT_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._\-]*"


@dataclass(frozen=True)
class Form:
    """form.yml. `id` is the digest of the text without it; the text and catalogue.json both name it."""

    id: str
    text: str


def render_form(site: Site, catalogue: Catalogue) -> Form:
    """Write the whole file. Every scalar is a JSON string, so YAML takes nothing for a number, a date or a bool."""
    form_id = hashlib.sha256(_render(site, catalogue, "").encode()).hexdigest()[:FORM_ID_LENGTH]
    return Form(form_id, _render(site, catalogue, form_id))


def _render(site: Site, catalogue: Catalogue, form_id: str) -> str:
    sources = " and ".join(source.file for source in catalogue.made_from)
    return "\n".join(
        [
            f"# Written by `llm-hoster configure` from {sources}. Change those, not this file.",
            "---",
            f"cluster: {_text(catalogue.site.cluster)}",
            "form:",
            *(f"  - {_text(name)}" for name in _field_names(site)),
            "attributes:",
            # Fixed, so neither shown nor kept: by it submit.yml.erb knows a form that OnDemand still has in its cache.
            f"  form_id: {_text(form_id)}",
            *_model_field(site, catalogue),
            *_gpu_type_field(site, catalogue),
            *_num_gpus_field(site, catalogue),
            *_hours_field(site, catalogue),
            *_account_field(site),
            *_field(
                "bc_email_on_started",
                widget="check_box",
                label="Send me an e-mail when the session starts",
            ),
            "",
        ]
    )


def _field_names(site: Site) -> list[str]:
    return ["form_id", "model", "gpu_type", "num_gpus", "bc_num_hours", site.account, "bc_email_on_started"]


def _model_field(site: Site, catalogue: Catalogue) -> Iterator[str]:
    yield from _field(
        "model",
        widget="select",
        label="Model",
        help=(
            "The size is what the model takes of a GPU's memory before the first word; it needs about a fifth more "
            "to answer. Where it does not fit, the form says which GPUs it fits."
        ),
        value=site.defaults.model,
    )
    yield from _options([(_model_label(model), model.name) for model in catalogue.models])


def _gpu_type_field(site: Site, catalogue: Catalogue) -> Iterator[str]:
    yield from _field(
        "gpu_type",
        widget="select",
        label="GPU type",
        help=(
            "The price is for one GPU with the processor cores that come with it, in service units (SU). "
            "Slices of a GPU are cheap and wait less; they cannot be put together."
        ),
        value=site.defaults.gpu_type,
    )
    yield from _options([(_gpu_label(site, catalogue, gpu_type), gpu_type.name) for gpu_type in catalogue.gpu_types])


def _num_gpus_field(site: Site, catalogue: Catalogue) -> Iterator[str]:
    counts = sorted({int(count) for offers in catalogue.offers.values() for count in offers})
    yield from _field(
        "num_gpus",
        widget="select",
        label="Number of GPUs",
        help="More than one is for a model that one GPU cannot hold. The price is per GPU.",
        value=str(site.defaults.num_gpus),
    )
    yield from _options([(str(count), str(count)) for count in counts])


def _hours_field(site: Site, catalogue: Catalogue) -> Iterator[str]:
    yield from _field(
        "bc_num_hours",
        widget="number_field",
        label="Hours",
        help="The session ends after this time. Delete it when you are done: only the time used is charged.",
        value=str(site.defaults.hours),
        min="1",
        max=str(longest_hours(catalogue)),
        step="1",
        required=True,
    )


def _account_field(site: Site) -> Iterator[str]:
    if site.account == "auto_accounts":
        return _field("auto_accounts", label="Account", help=ACCOUNT_HELP["auto_accounts"])
    return _field(
        "bc_account",
        widget="text_field",
        label="Account",
        help=ACCOUNT_HELP["bc_account"],
        pattern=ACCOUNT_PATTERN,
        maxlength="63",
    )


def longest_hours(catalogue: Catalogue) -> int:
    return max(qos.max_hours for offers in catalogue.offers.values() for offer in offers.values() for qos in offer.qos)


def _model_label(model: Model) -> str:
    size = f"{model.weights_gib:.0f} GiB" if model.weights_gib >= 1 else "under 1 GiB"
    return f"{model.title}: {size}; {model.good_for}; licence {model.licence}"


def _gpu_label(site: Site, catalogue: Catalogue, gpu_type: GpuType) -> str:
    offer = next(iter(catalogue.offers[gpu_type.name].values()))
    hours = max(qos.max_hours for qos in offer.qos)
    parts = [f"{offer.qos[0].su_per_hour:.1f} SU per hour", f"up to {hours} h"]
    if gpu_type.memory_gib:
        parts.insert(0, f"{gpu_type.memory_gib:g} GiB of memory")
    if _is_for_one_session(site, gpu_type.name):
        parts.append("one session at a time")
    if gpu_type.note:
        parts.append(gpu_type.note)
    return f"{gpu_type.title}: {', '.join(parts)}"


def _is_for_one_session(site: Site, gpu_type_name: str) -> bool:
    """Say whether the limits on one user's jobs and GPUs leave room for a single session; Slurm holds a second back."""
    limits = next(each.qos for each in site.gpu_types if each.name == gpu_type_name)
    allowed = [qos for qos in site.qos if qos.name in limits]
    return len(allowed) == 1 and 1 in (allowed[0].max_jobs, limits[allowed[0].name].per_user)


def _field(name: str, **values: str | bool) -> Iterator[str]:
    yield f"  {name}:"
    for key, value in values.items():
        yield f"    {key}: {_text(value)}"


def _options(options: list[tuple[str, str]]) -> Iterator[str]:
    yield "    options:"
    for label, value in options:
        yield f"      - [{_text(label)}, {_text(value)}]"


def _text(value: str | bool) -> str:
    """A JSON string is a YAML string, quotes and all."""
    return json.dumps(value, ensure_ascii=False)
