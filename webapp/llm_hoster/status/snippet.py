"""The lines that a person copies to call the endpoint. The key is read from its file and never stands in a command."""

from __future__ import annotations

import json
import shlex

from llm_hoster.settings import WebSettings

WHERE = "# Works on the cluster only: on a login node, in a job or in a notebook there."


def curl_snippet(settings: WebSettings, model: str) -> str:
    """Hand the key to curl on its standard input: its arguments can be read by everyone on the node."""
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
    read_key = "import json, sys; print(json.load(open(sys.argv[1]))['api_key'])"
    return (
        f"{WHERE}\n"
        f"ENDPOINT={shlex.quote(str(settings.endpoint_file))}\n"
        f'KEY=$(python3 -c "{read_key}" "$ENDPOINT")\n'
        f"curl --noproxy '*' --config - {shlex.quote(settings.base_url + '/chat/completions')} \\\n"
        f"  --header 'Content-Type: application/json' \\\n"
        f"  --data {shlex.quote(json.dumps(body))} <<EOF\n"
        'header = "Authorization: Bearer $KEY"\n'
        "EOF"
    )


def python_snippet(settings: WebSettings) -> str:
    return (
        f"{WHERE}\n"
        f"# Where a proxy is set (http_proxy), first: export no_proxy={settings.host}\n"
        "import json\n"
        "from openai import OpenAI\n\n"
        f"with open({str(settings.endpoint_file)!r}) as file:\n"
        "    endpoint = json.load(file)\n\n"
        "# It waits for a model that is loaded or started again.\n"
        'client = OpenAI(base_url=endpoint["base_url"], api_key=endpoint["api_key"], max_retries=20)\n'
        "reply = client.chat.completions.create(\n"
        '    model=endpoint["model"],\n'
        '    messages=[{"role": "user", "content": "Say hello."}],\n'
        ")\n"
        "print(reply.choices[0].message.content)"
    )
