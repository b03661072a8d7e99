"""
The name by which vLLM knows a model's folder: a link beside its sockets, where it starts.

vLLM keeps compiled code by the model's path. A folder of the user's own, a version of the hub's, or a copy with a job's
number in its path would each be compiled anew, though the model is the same; the link is called alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from llm_hoster.engine.failures.failure import Failure
from llm_hoster.engine.model.prelude import SilentPrelude
from llm_hoster.engine.model.weight_files import local_folder

PREFIX = "model-"


def link_name(model: str) -> str:
    """`model` is its name in the catalogue. The path tells vLLM that it is no id of the hub."""
    return f"./{PREFIX}{model}"


def make_link(tmp_dir: Path, model: str, folder: Path) -> None:
    link = tmp_dir / link_name(model)
    link.unlink(missing_ok=True)
    # A container sees real places only.
    link.symlink_to(folder.resolve())


class ModelLink(SilentPrelude):
    """The prelude that makes it, when the model is there at the latest."""

    name = "model_link"

    def __init__(self, source: str, environment: Mapping[str, str], name: str, tmp_dir: Path) -> None:
        """`source` is a folder or a hub id; `environment` is vLLM's."""
        self._source = source
        self._environment = environment
        self._model = name
        self._tmp_dir = tmp_dir

    def start(self, notify: Callable[[], None]) -> None:
        folder = local_folder(self._source, self._environment)
        if folder is None:
            self.failure = Failure(f"The model {self._source} is not on this node. Launch again.", None)
            return
        make_link(self._tmp_dir, self._model, folder)
        self.is_done = True
