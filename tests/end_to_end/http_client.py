"""HTTP requests from a place in the cluster, as a user there: what a script, or a stranger, does."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster.slurm_cluster import SlurmCluster

# Runs inside the cluster. The request comes on stdin, so that no secret is in an argument that others can read.
PROGRAM = """\
import base64, http.client, json, sys
request = json.load(sys.stdin)
connection = http.client.HTTPConnection(request["host"], request["port"], timeout=60)
body = request["body"]
connection.request(request["method"], request["path"], None if body is None else body.encode(), request["headers"])
answer = connection.getresponse()
content = base64.b64encode(answer.read()).decode()
print(json.dumps({"status": answer.status, "headers": answer.getheaders(), "content": content}))
"""


@dataclass(frozen=True)
class Answer:
    """What came back; `text` is decoded as UTF-8."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class HttpClient:
    """A user on a node (None: the head). `headers` go with each request."""

    cluster: SlurmCluster
    user: str
    node: str | None
    headers: Mapping[str, str]

    def get(self, host: str, port: int, path: str, **headers: str) -> Answer:
        return self.request("GET", host, port, path, headers=headers)

    def post_json(self, host: str, port: int, path: str, content: object, **headers: str) -> Answer:
        headers |= {"Content-Type": "application/json"}
        return self.request("POST", host, port, path, headers=headers, body=json.dumps(content))

    def request(
        self, method: str, host: str, port: int, path: str, *, headers: Mapping[str, str], body: str | None = None
    ) -> Answer:
        """Send one request; a refused connection is an error of the test. `_` in a header's name is sent as `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = {"method": method, "host": host, "port": port, "path": path, "body": body}
        done = self.cluster.run(
            [sys.executable, "-c", PROGRAM],
            user=self.user,
            node=self.node,
            input=json.dumps(request | {"headers": {**self.headers, **named}}),
            timeout_s=90,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        text = base64.b64decode(answer["content"]).decode(errors="replace")
        return Answer(answer["status"], {name.lower(): value for name, value in answer["headers"]}, text)


def basic_auth(user: str, password: str) -> dict[str, str]:
    """Make the header of the portal's login."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
