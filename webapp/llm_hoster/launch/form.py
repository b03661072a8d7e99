"""form.yml, written from the catalogue. It keeps to what OnDemand 3.1 to 4.3 all have, and needs no JavaScript."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from llm_hoster.catalogue.choice import AUTO
from llm_hoster.catalogue.compiled import OTHER_MODEL, Catalogue, GpuType, Model, OfferQos
from llm_hoster.catalogue.price import OVERLAP_MINUTES, su_text
from llm_hoster.catalogue.site import Site
from llm_hoster.launch.field import (
    FOLDER_LENGTH,
    FOLDER_PATTERN,
    HUGGING_FACE_ID_PATTERN,
    SLURM_NAME_LENGTH,
    SLURM_NAME_PATTERN,
    Field,
    as_yaml,
    check_box,
    number,
    select,
    text,
)

FORM_ID_LENGTH = 16  # as in launch.rb


@dataclass(frozen=True)
class Form:
    """form.yml. `id` is the digest of the text without it; the text and catalogue.json both name it."""

    id: str
    text: str


def render_form(site: Site, catalogue: Catalogue) -> Form:
    form_id = hashlib.sha256(_render(site, catalogue, "").encode()).hexdigest()[:FORM_ID_LENGTH]
    return Form(form_id, _render(site, catalogue, form_id))


def _render(site: Site, catalogue: Catalogue, form_id: str) -> str:
    sources = " and ".join(source.file for source in catalogue.made_from)
    fields = [*_what(site, catalogue), *_how_long(site, catalogue), *_more(site, catalogue)]
    lines = [
        f"# Written by `llm-hoster configure` from {sources}. Change those, not this file.",
        "---",
        f"cluster: {as_yaml(catalogue.site.cluster)}",
        "form:",
        *(f"  - {as_yaml(name)}" for name in ("form_id", *(field.name for field in fields))),
        "attributes:",
        # Fixed, so neither shown nor kept: by it Launch knows a form that OnDemand still has in its cache.
        f"  form_id: {as_yaml(form_id)}",
        *(line for field in fields for line in field.as_lines()),
    ]
    return "\n".join(lines) + "\n"


def _what(site: Site, catalogue: Catalogue) -> list[Field]:
    """Make the fields of the model and of what it runs on."""
    groups = list(dict.fromkeys(model.group for model in catalogue.models))
    models = sorted(catalogue.models, key=lambda model: groups.index(model.group))
    other = ("Other: a Hugging Face id or a folder", OTHER_MODEL)
    counts = [int(count) for offers in catalogue.offers.values() for count in offers]
    return [
        select(
            "model",
            "Model",
            "What it is good for, its size in the memory of the GPU, and its licence. Answering takes more memory than "
            "the size alone: if a model does not fit the GPUs below, Launch says so and names some that do.",
            [*((_model_label(model), model.name) for model in models), other],
            value=site.defaults.model,
        ),
        text(
            "typed_model",
            "Other model",
            'Only for "Other" above: the id of a model at huggingface.co, written owner/name, or the folder that holds '
            "its files, beginning with a slash. Empty this field when you choose another model: the form remembers it.",
            pattern=f"{HUGGING_FACE_ID_PATTERN}|{FOLDER_PATTERN}",
            length=FOLDER_LENGTH,
            example="Qwen/Qwen3-8B",
        ),
        select(
            "gpu_type",
            "GPU type",
            "The price is that of one GPU with its processor cores for an hour, in service units (SU). A slice is a "
            "part of a GPU: it is cheap, often free sooner, and cannot be put together with other slices.",
            [(_gpu_label(site, catalogue, gpu_type), gpu_type.name) for gpu_type in catalogue.gpu_types],
            value=site.defaults.gpu_type,
        ),
        number(
            "num_gpus",
            "Number of GPUs",
            "Take more than one only for a model that one cannot hold: each costs the full price.",
            value=site.defaults.num_gpus,
            low=1,
            high=max(counts),
        ),
    ]


def _how_long(site: Site, catalogue: Catalogue) -> list[Field]:
    """Make the fields of the time and of who pays."""
    hours = number(
        "bc_num_hours",
        "Hours",
        "The session ends after this time. Delete it when you are done: only the time used is charged.",
        value=site.defaults.hours,
        low=1,
        high=max(_hours_of_qos(catalogue).values()),
    )
    reservation = text(
        "reservation",
        "Reservation",
        "GPUs that are kept for a course or a group have a name: write it here if you were given one.",
        pattern=SLURM_NAME_PATTERN,
        length=SLURM_NAME_LENGTH,
    )
    return [hours, *_qos_field(site, catalogue), _account_field(site), reservation]


def _qos_field(site: Site, catalogue: Catalogue) -> list[Field]:
    hours = _hours_of_qos(catalogue)
    options = [
        (f"{qos.name}: up to {hours[qos.name]} h, {_charge_text(qos.charge)}", qos.name)
        for qos in site.qos
        if qos.name in hours
    ]
    if not options:
        return []
    help_ = (
        "The cluster's queues, each with limits of its own, and not all serve every GPU type. Left to the form, it is "
        "the first that allows your hours and GPUs."
    )
    return [select("qos", "Queue (QoS)", help_, [("Choose for me", ""), *options], value="")]


def _account_field(site: Site) -> Field:
    if site.account == "auto_accounts":
        return Field("auto_accounts", {"label": "Account", "help": "The allocation that pays for this session."})
    return text(
        "bc_account",
        "Account",
        "The allocation that pays for this session. Leave it empty to use your default one.",
        pattern=SLURM_NAME_PATTERN,
        length=SLURM_NAME_LENGTH,
    )


def _more(site: Site, catalogue: Catalogue) -> list[Field]:
    """Make the fields that form.js folds away: few people need them."""
    lengths = [(_length_label(tokens), str(tokens)) for tokens in catalogue.context_lengths]
    return [
        select(
            "context_length",
            "Context length",
            "How much text one conversation can hold, questions and answers together. The shorter it is, the more "
            "people can talk to the model at once.",
            [("As long as fits", AUTO), *lengths],
            value=AUTO,
        ),
        select(
            "quantization",
            "Quantisation",
            "Rounds the numbers that the model is made of, so that it takes less memory. Not every GPU type can do it.",
            [(each.title, each.name) for each in catalogue.quantizations],
            value=catalogue.quantizations[0].name,
        ),
        select(
            "preset",
            "Preset",
            "What the session is tuned for. Everything else works too.",
            [(each.title, each.name) for each in catalogue.presets],
            value=catalogue.presets[0].name,
        ),
        text(
            "lora_folder",
            "LoRA folder",
            "A fine-tuned adapter for this model (LoRA): the folder that holds it. Leave it empty if you have none.",
            pattern=FOLDER_PATTERN,
            length=FOLDER_LENGTH,
        ),
        number(
            "idle_minutes",
            "Stop when idle, in minutes",
            "When nobody has asked anything for so long, the session ends and its charge with it. 0 = never.",
            value=site.defaults.idle_minutes,
            low=0,
            high=catalogue.idle_minutes_max,
        ),
        *_chain_field(catalogue),
        check_box("bc_email_on_started", "Send me an e-mail when the session starts"),
    ]


def _chain_field(catalogue: Catalogue) -> list[Field]:
    """Make no field where one person may nowhere have two sessions at a time."""
    longest = max(qos.chain_max for qos in _all_qos(catalogue))
    if longest == 1:
        return []
    help_ = (
        "For longer than the hours above: the next session waits in the queue, loads while this one still serves and "
        "takes over. Each is charged its own hours, so the time in which both run, as long as the model takes to load "
        f"and {OVERLAP_MINUTES} minutes, is charged twice. 1 = no other session follows."
    )
    return [number("chain_length", "Sessions in a row", help_, value=1, low=1, high=longest)]


def _all_qos(catalogue: Catalogue) -> list[OfferQos]:
    return [qos for offers in catalogue.offers.values() for offer in offers.values() for qos in offer.qos]


def _hours_of_qos(catalogue: Catalogue) -> dict[str | None, int]:
    """Give the most hours that each QoS allows anywhere."""
    hours: dict[str | None, int] = {}
    for qos in _all_qos(catalogue):
        hours[qos.name] = max(qos.max_hours, hours.get(qos.name, 0))
    return hours


def _charge_text(charge: float) -> str:
    return "at the full price" if charge == 1 else f"at {charge * 100:.6g} % of the price"


def _length_label(tokens: int) -> str:
    """A token of English is about three quarters of a word."""
    words = tokens * 3 // 4
    return f"{tokens:,} tokens, about {round(words, 2 - len(str(words))):,} words"


def _model_label(model: Model) -> str:
    size = f"{model.weights_gib:.0f} GiB" if model.weights_gib >= 1 else "under 1 GiB"
    title = f"{model.title}, {size}" if model.weights_gib else model.title
    return f"{model.group}: {title}; {model.good_for}; licence {model.licence}"


def _gpu_label(site: Site, catalogue: Catalogue, gpu_type: GpuType) -> str:
    offers = catalogue.offers[gpu_type.name]
    count = min(offers, key=int)
    offer = offers[count]
    price = f"{su_text(offer.qos[0].su_per_hour)} SU per hour" + (f" for {count}" if count != "1" else "")
    parts = [price, f"partition {offer.partition}", f"up to {max(qos.max_hours for qos in offer.qos)} h"]
    if gpu_type.memory_gib:
        parts.insert(0, f"{gpu_type.memory_gib:g} GiB of memory")
    if gpu_type.is_slice:
        parts.insert(0, "part of a GPU (MIG slice)")
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
