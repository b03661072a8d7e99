"""A key that alice gives away: bob, another user on another node, asks her session with it and OpenAI's own client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.launched_session import LaunchedSession
from tests.end_to_end.site_app import DATA_DIR
from tests.end_to_end.tiny_reply import GREETING

ALICES_DATA_DIR = DATA_DIR.replace("$USER", "alice")
COMMAND = str(Path(sys.prefix) / "bin" / "llm-hoster")
# Runs in a job of bob's. Address and key come on stdin, so that no secret is in an argument that others can read.
PROGRAM = """\
import getpass, json, os, sys
import anthropic, openai
given = json.load(sys.stdin)
said = {"user": getpass.getuser(), "node": os.environ["SLURMD_NODENAME"]}
messages = [{"role": "user", "content": "Say hello."}]
client = openai.OpenAI(base_url=given["base_url"], api_key=given["api_key"], max_retries=0)
try:
    said["whole"] = client.chat.completions.create(model="tiny", messages=messages).choices[0].message.content
    stream = client.chat.completions.create(model="tiny", messages=messages, stream=True)
    said["streamed"] = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
    root_url = given["base_url"].removesuffix("/v1")
    other = anthropic.Anthropic(base_url=root_url, api_key=given["api_key"], max_retries=0)
    said["message"] = other.messages.create(model="tiny", messages=messages, max_tokens=50).content[0].text
except openai.OpenAIError as error:
    said["error"] = type(error).__name__
print(json.dumps(said))
"""


def test_bob_asks_from_another_node_with_the_key_that_alice_gave_him_until_she_takes_it_back(
    main: LaunchedSession, cluster: SlurmCluster
) -> None:
    key = keys(cluster, "create", "bob")["key"]

    said = ask_as_bob(cluster, main, key)
    assert said["whole"] == said["streamed"] == said["message"] == GREETING
    assert (said["user"], said["node"] != main.host) == ("bob", True)

    keys(cluster, "revoke", "bob")
    assert ask_as_bob(cluster, main, key)["error"] == "AuthenticationError"


def keys(cluster: SlurmCluster, *words: str) -> dict[str, str]:
    """Run `llm-hoster keys` as alice, on a node where her session does not run."""
    argv = [COMMAND, "keys", *words, "--json", "--data-dir", ALICES_DATA_DIR]
    document: dict[str, str] = json.loads(cluster.check(argv, user="alice", node="n2"))
    return document


def ask_as_bob(cluster: SlurmCluster, session: LaunchedSession, key: str) -> dict[str, str]:
    """Run the program in a Slurm job of bob's on the other node."""
    done: subprocess.CompletedProcess[str] = cluster.run(
        ["srun", "--nodelist=n2", "--ntasks=1", sys.executable, "-W", "ignore", "-c", PROGRAM],
        user="bob",
        input=json.dumps({"base_url": session.endpoint["base_url"], "api_key": key}),
        timeout_s=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, str] = json.loads(done.stdout)
    return answer
