"""What a person is told who chose something that is not offered: the words of the form, of Launch and of the node.

`configure` writes them into catalogue.json, so that the browser's script and submit.yml.erb say them too: a place
%{name} is filled with a text. Ruby's `format` knows the same places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

PLACE = re.compile(r"%\{([a-z_]+)\}")
SHOWN_LENGTH = 60

CHOICE_SENTENCES = {
    "gpu_type": "GPU type %{value} is not offered: choose one of %{offered}.",
    "slices": "%{gpu_type} is a slice of a GPU: %{value} slices cannot hold a model together. Choose 1, or whole GPUs.",
    "num_gpus": "Number of GPUs %{value} is not offered for %{gpu_type}: choose one of %{offered}.",
    "model": "Model %{value} is not in the catalogue: choose one of %{offered}.",
    "typed_model": (
        "Model %{value} is neither a Hugging Face id (owner/name) nor the path of a folder that begins with /: "
        "write one of the two."
    ),
    "typed_model_without_other": (
        "You wrote %{value} as a model of your own, but %{model} is chosen: choose Other, or leave the field empty."
    ),
    "other_model": "Other",
    "quantization": "Quantisation %{value} is not known: choose one of %{offered}.",
    "preset": "Preset %{value} is not known: choose one of %{offered}.",
    "does_not_fit": "Model %{model} on %{place} %{reason}. %{advice}",
    "context_length": "Context length %{value} is not offered: choose one of %{offered}.",
    "context_too_long": (
        "Context length %{value} is too long: %{model} has room for %{longest} tokens on %{place}. %{advice}"
    ),
    "advice": "Choose %{place}, the cheapest that holds it.",
    "advice_here": "Choose %{variant}: then it fits here.",
    "advice_elsewhere": "Choose %{variant} and %{place}.",
    # A variant is one of these, or both.
    "advice_quantization": "the quantisation «%{title}»",
    "advice_preset": "the preset «%{title}»",
    # Of a typed model, whose hours and QoS the program on the portal does not know.
    "advice_for_less": "%{place} holds it, but for fewer hours or in another QoS.",
    "no_advice": (
        "No choice of this site holds it for these hours, in this QoS and with this context: change one of them, or "
        "the model."
    ),
    "qos": "QoS %{value} does not serve %{place}: choose one of %{offered}.",
    "hours": "Number of hours %{value} is not possible on %{place}: choose a whole number from 1 to %{longest}.",
    "hours_of_qos": (
        "Number of hours %{value} is not possible on %{place}: QoS %{qos} allows 1 to %{longest}, whole hours only."
    ),
    "account": "Account %{value} is malformed: use letters, digits, '.', '_' and '-' only.",
    "reservation": "Reservation %{value} is malformed: use letters, digits, '.', '_' and '-' only.",
    "lora_folder": "LoRA folder %{value} is not the path of a folder that begins with /: correct it or leave it empty.",
    "chain_length": (
        "Number of sessions in a row %{value} is not possible on %{place}: choose a whole number from 1 to %{longest}."
    ),
    "chain_of_one": (
        "Number of sessions in a row %{value} is not possible: %{place} has room for one session of yours at a time. "
        "Choose 1."
    ),
    # Beside the place, where a model is served several times at once.
    "replicas": "%{replicas} replicas, each on %{num_gpus} GPUs",
    "replicas_of_one": "%{replicas} replicas, each on 1 GPU",
    "idle_minutes": "Stop when idle for %{value} minutes is not possible: choose a whole number from 0 to %{longest}.",
}


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put the values into their places; raise KeyError for a place without one."""
    return PLACE.sub(lambda place: values[place[1]], template)


def replicas_text(replicas: int, num_gpus: int) -> str:
    """Say how all the GPUs are shared out; nothing where they serve one model together."""
    if replicas == 1:
        return ""
    kind = "replicas_of_one" if replicas == num_gpus else "replicas"
    return fill(CHOICE_SENTENCES[kind], {"replicas": str(replicas), "num_gpus": str(num_gpus // replicas)})


def shown(value: str) -> str:
    """Quote a value that a stranger may have typed, as Ruby's JSON does, and cut it to a length fit for an alert."""
    return json.dumps(value[:SHOWN_LENGTH], ensure_ascii=False)
