"""What the web app knows of its session: written once by `serve`, read once by gunicorn's worker."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

SETTINGS_VARIABLE = "LLM_HOSTER_SETTINGS"


class RuntimePaths:
    """The files in a session's node-local folder that both the supervisor and the web app use."""

    runtime_dir: Path

    @cached_property
    def socket_path(self) -> Path:
        return self.runtime_dir / "vllm.sock"

    @cached_property
    def state_path(self) -> Path:
        return self.runtime_dir / "state.json"

    @cached_property
    def control_path(self) -> Path:
        return self.runtime_dir / "control.sock"


@dataclass(frozen=True)
class WebSettings(RuntimePaths):
    """Times are Unix seconds. The secrets are kept out of `repr` so that no log can show them."""

    host: str
    port: int
    runtime_dir: Path
    staged_root: Path
    data_dir: Path
    session_id: str
    secret_sha256: str = dataclasses.field(repr=False)
    secret_key: str = dataclasses.field(repr=False)
    api_key: str = dataclasses.field(repr=False)
    served_model_name: str
    model_title: str
    gpu_title: str
    started_at: float
    ends_at: float
    su_per_hour: float
    base_url: str
    endpoint_file: Path
    media_hosts: list[str] = dataclasses.field(default_factory=list)
    audit_prompts: bool = False
    chat_titles: bool = False

    @classmethod
    def from_file(cls, path: Path) -> WebSettings:
        values = json.loads(path.read_text())
        for field in fields(cls):
            if field.type == "Path":
                values[field.name] = Path(values[field.name])
        return cls(**values)

    @classmethod
    def from_env(cls) -> WebSettings:
        """Read the file that LLM_HOSTER_SETTINGS names; `serve` sets it for gunicorn."""
        return cls.from_file(Path(os.environ[SETTINGS_VARIABLE]))

    def write(self, path: Path) -> None:
        """Write for `from_file`, readable by the owner alone."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(dataclasses.asdict(self), file, default=str)
