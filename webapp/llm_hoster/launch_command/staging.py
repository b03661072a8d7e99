"""
A session's folder, byte by byte as OnDemand would fill it from template/, but with a job script of our own.

There is no Ruby on most login nodes. Of template/, two files are more than text: session.json.erb prints JSON, and
script.sh.erb one path. What they would print is written here; an ERB tag that is not known is an error and no guess.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_hoster.catalogue.choice import FormValues
from llm_hoster.client.session_files import STAGED_FILE
from llm_hoster.engine.job.submission import OPTIONS, SCRIPT
from llm_hoster.errors import ChoiceError, ConfigError, SessionError
from llm_hoster.launch_command.app_files import AppFiles

JOB_NAME = "llm-hoster"
JOB_SCRIPT = Path(__file__).with_name("job_script.sh")
SESSION_TEMPLATE = "session.json.erb"
EXECUTED = "script.sh"
SCRIPT_TEMPLATE = "script.sh.erb"
LEFT_BY_EDITORS = ".*.swp"
# The block of Ruby at the top, whose one result is `app`; and the place for it.
RUBY_BLOCK = re.compile(r"^<%-\n.*?\n-%>\n", re.MULTILINE | re.DOTALL)
APP_PLACE = "<%= app %>"
# What Ruby's Shellwords leaves as it is.
SAFE_IN_SHELL = re.compile(r"([^A-Za-z0-9_\-.,:+/@\n])")


@dataclass(frozen=True)
class StagedFiles:
    """What is to lie in `folder`, by name; `options` are those of the job."""

    folder: Path
    script: str
    files: Mapping[str, bytes]
    options: Mapping[str, Any]

    def write(self) -> None:
        """Make the folder, for its owner alone; raise SessionError."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(mode=0o700)
            for name, content in self.files.items():
                path = self.folder / name
                path.touch(mode=0o600)
                path.write_bytes(content)
            (self.folder / EXECUTED).chmod(0o700)
        except OSError as error:
            self.remove()
            raise SessionError(f"The session's folder {self.folder} cannot be made: {error}.") from error

    def remove(self) -> None:
        """Take it away again, as nothing has come of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def stage(app: AppFiles, values: FormValues, script_options: Mapping[str, Any], folder: Path) -> StagedFiles:
    """Work out the files. Raise ConfigError for a template that this version does not know."""
    options = {"job_name": JOB_NAME, "workdir": str(folder), "output_path": "output.log", **script_options}
    script = JOB_SCRIPT.read_text().replace("@FOLDER@", shlex.quote(str(folder)))
    files = {
        **render_template(app, values),
        SCRIPT: os.fsencode(script),
        OPTIONS: json.dumps(options, indent=2).encode(),
    }
    return StagedFiles(folder, script, files, options)


def render_template(app: AppFiles, values: FormValues) -> dict[str, bytes]:
    """Plain files are taken as they are, but for those that editors leave, as OnDemand does."""
    files = {}
    for path in sorted((app.folder / "template").iterdir()):
        if path.name == SESSION_TEMPLATE:
            files[STAGED_FILE] = _encoded(render_session(app.document, values))
        elif path.name == SCRIPT_TEMPLATE:
            files[EXECUTED] = render_script(path, app.catalogue.site.prefix, app.catalogue.site.app).encode()
        elif not path.is_file() or path.suffix == ".erb":
            raise ConfigError(f"{path}: found what this command cannot stage. Launch from the portal's form.")
        elif not fnmatch.fnmatch(path.name, LEFT_BY_EDITORS):
            files[path.name] = path.read_bytes()
    return files


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ChoiceError("An option is not UTF-8: no session can have it. Write it anew.") from error


def render_session(document: Mapping[str, Any], values: FormValues) -> str:
    """Write what session.json.erb prints: all verdicts of the chosen model, and the others' on these GPUs."""
    fits = {
        model: places if model == values.model else _here(places, values.gpu_type, values.num_gpus)
        for model, places in document["fits"].items()
    }
    staged = {"context": asdict(values), "catalogue": {**document, "fits": fits}}
    return json.dumps(staged, ensure_ascii=False, separators=(",", ":")) + "\n"


def _here(places: Mapping[str, Any], gpu_type: str, num_gpus: str) -> dict[str, Any]:
    return {gpu_type: {num_gpus: places.get(gpu_type, {}).get(num_gpus)}}


def render_script(template: Path, prefix: str, app: str) -> str:
    text = RUBY_BLOCK.sub("", template.read_text(encoding="utf-8"), count=1)
    text = text.replace(APP_PLACE, SAFE_IN_SHELL.sub(r"\\\1", f"{prefix.rstrip('/')}/app/{app}"))
    if "<%" in text:
        raise ConfigError(
            f"{template}: found an ERB tag that this command does not know. Launch from the portal's form."
        )
    return text
