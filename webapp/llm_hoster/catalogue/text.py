"""The kinds of text that the two YAML files hold, each with the sentence that a wrong one gets."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def _matching(pattern: str, expected: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(expected)
        return value

    return AfterValidator(check)


NAME_RULE = "small letters, digits, '.', '_' and '-', beginning with a letter"

# Names go into YAML, URLs, option values and Slurm's arguments: what is safe in all of them is small.
Name = Annotated[str, _matching(r"[a-z][a-z0-9._-]{0,62}", NAME_RULE)]
SlurmName = Annotated[
    str, _matching(r"[A-Za-z][A-Za-z0-9._-]{0,62}", "a name of Slurm: letters, digits, '.', '_' and '-'")
]
Constraint = Annotated[str, _matching(r"[A-Za-z0-9_&|()\[\]*.,-]{1,200}", "a constraint of sbatch")]
Line = Annotated[str, _matching(r"(?=.*\S)[^\x00-\x1f\x7f]+", "one line of text that is not empty")]
GresName = Annotated[
    str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "a type of gres.conf: letters, digits, '.', '_' and '-'")
]
InterfaceName = Annotated[
    str, _matching(r"[A-Za-z][A-Za-z0-9._-]{0,14}", "a network interface as `ip address` names it, such as ib0 or eth0")
]
HostName = Annotated[
    str, _matching(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "the name of a host in small letters, without https://")
]
OptionalLine = Annotated[str, _matching(r"[^\x00-\x1f\x7f]*", "one line of text, or an empty one")]
Url = Annotated[str, _matching(r"https?://[^\s\"'<>]+", "an address that begins with https:// or http://")]
# Nothing expands a `~` on the node: it would become a folder of that name beside the file it is written in.
AnyPath = Annotated[
    str,
    _matching(r"[^\x00-\x1f\x7f\s][^\x00-\x1f\x7f]*", "a path"),
    _matching(r"[^~].*", "a path that begins with $HOME instead of ~"),
]
NodePath = Annotated[
    str, _matching(r"[/$][^\x00-\x1f\x7f]*", "an absolute path on the nodes, which may begin with $USER and the like")
]
Source = Annotated[
    str,
    _matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*|(/|\./|\.\./|\$)[^\x00-\x1f\x7f]+",
        "a Hugging Face id (owner/name) or a folder that begins with /, ./, ../ or $",
    ),
]
Argument = Annotated[str, _matching(r"[^\x00-\x1f\x7f]+", "one argument of `vllm serve`, in quotes")]
Variable = Annotated[str, _matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")]
