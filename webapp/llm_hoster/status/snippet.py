"""The lines that a person copies to call the endpoint. The key is read from its file and never stands in a command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from llm_hoster.catalogue.compiled import Task
from llm_hoster.engine.record.state import ServedModel
from llm_hoster.settings import WebSettings

TEXTS = ["The job waits for a free GPU.", "No GPU is free yet."]
CURL_QUESTIONS: Mapping[Task, tuple[str, Mapping[str, object]]] = {
    "chat": ("/chat/completions", {"messages": [{"role": "user", "content": "Say hello."}]}),
    "embed": ("/embeddings", {"input": TEXTS}),
}
WHERE = "# Works on the cluster only: on a login node, in a job or in a notebook there."


# Vectors have the length 1, so the sum is the cosine of the angle between them.
PYTHON_QUESTIONS: Mapping[Task, str] = {
    "chat": (
        "reply = client.chat.completions.create(\n"
        '    model=endpoint["model"],\n'
        '    messages=[{"role": "user", "content": "Say hello."}],\n'
        ")\n"
        "print(reply.choices[0].message.content)"
    ),
    "embed": (
        "reply = client.embeddings.create(\n"
        '    model=endpoint["model"],\n'
        f"    input={json.dumps(TEXTS)},\n"
        ")\n"
        "first, second = [each.embedding for each in reply.data]\n"
        'print(len(first), "numbers for each text")\n'
        'print("How similar:", sum(a * b for a, b in zip(first, second)))'
    ),
}


def snippets(settings: WebSettings, model: ServedModel) -> list[tuple[str, str, str]]:
    """Give for each program its short name, its title and the lines."""
    return [
        ("curl", "curl", curl_snippet(settings, model.name, model.task)),
        ("python", "Python", python_snippet(settings, model.task)),
    ]


def curl_snippet(settings: WebSettings, model: str, task: Task = "chat") -> str:
    """Hand the key to curl on its standard input: its arguments can be read by everyone on the node."""
    path, question = CURL_QUESTIONS[task]
    body = {"model": model, **question}
    read_key = "import json, sys; print(json.load(open(sys.argv[1]))['api_key'])"
    return (
        f"{WHERE}\n"
        f"ENDPOINT={shlex.quote(str(settings.endpoint_file))}\n"
        f'KEY=$(python3 -c "{read_key}" "$ENDPOINT")\n'
        f"curl --noproxy '*' --config - {shlex.quote(settings.base_url + path)} \\\n"
        f"  --header 'Content-Type: application/json' \\\n"
        f"  --data {shlex.quote(json.dumps(body))} <<EOF\n"
        'header = "Authorization: Bearer $KEY"\n'
        "EOF"
    )


def python_snippet(settings: WebSettings, task: Task = "chat") -> str:
    return (
        f"{WHERE}\n"
        f"# Where a proxy is set (http_proxy), first: export no_proxy={settings.host}\n"
        "import json\n"
        "from openai import OpenAI\n\n"
        f"with open({str(settings.endpoint_file)!r}) as file:\n"
        "    endpoint = json.load(file)\n\n"
        "# It waits for a model that is loaded or started again.\n"
        'client = OpenAI(base_url=endpoint["base_url"], api_key=endpoint["api_key"], max_retries=20)\n'
        f"{PYTHON_QUESTIONS[task]}"
    )
