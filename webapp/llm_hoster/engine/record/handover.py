"""The files by which the node tells the portal and the owner where the session is."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from llm_hoster.client.session_files import ENDPOINT_FILE
from llm_hoster.engine.record.atomic_file import replace_file


@dataclass(frozen=True)
class Handover:
    """Nothing here is secret but the endpoint's file, which its owner alone can read."""

    staged_root: Path
    host: str
    port: int
    proxy: str
    served_model_name: str

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    @property
    def endpoint_file(self) -> Path:
        return self.staged_root / ENDPOINT_FILE

    def write_endpoint(self, api_key: str, served_model_name: str) -> None:
        """Write what a script of the owner's needs."""
        values = {"base_url": self.base_url, "api_key": api_key, "model": served_model_name}
        replace_file(self.endpoint_file, json.dumps(values))

    def write_card(self) -> None:
        """Write the card's line, then the port: after.sh takes the port as the sign that the pages answer."""
        card = {
            "host": self.host,
            "port": self.port,
            "base_url": self.base_url,
            "model": self.served_model_name,
            "endpoint_file": str(self.endpoint_file),
            "connect_path": f"/{self.proxy}/{self.host}/{self.port}/login",
        }
        # Base64, because OnDemand writes the line into YAML as it is.
        replace_file(self.staged_root / "card", base64.b64encode(json.dumps(card).encode()).decode() + "\n")
        replace_file(self.staged_root / "port", f"{self.port}\n")
