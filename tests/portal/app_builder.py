"""Build small batch-connect apps: OnDemand's files, each with the least that works."""

from __future__ import annotations

from pathlib import Path

MANIFEST = """
name: Small App
category: Interactive Apps
role: batch_connect
description: "**Small** and for tests"
"""
FORM = """
cluster: local
form: [model, hours, bc_num_hours, bc_account, bc_email_on_started, fixed, note]
attributes:
  fixed: "always"
  model:
    widget: select
    label: "Model <1>"
    required: true
    help: "Pick *one*."
    options:
      - ["Tiny <b>", "tiny", {data-note: "a \\"b\\""}]
      - "other"
  hours: {widget: number_field, value: 2, min: 1, max: 24, required: true}
  bc_num_hours: {max: 24}
  bc_account: {pattern: "[a-z]+", help: "An account."}
"""
SUBMIT = """
batch_connect: {template: basic}
script: {native: ["--nodes=1"]}
"""


def make_app(folder: Path, **files: str) -> Path:
    """Write an app; keys are paths with `__` for `.` and `___` for `/`, such as template___script__sh__erb."""
    texts = {"manifest__yml": MANIFEST, "form__yml": FORM, "submit__yml__erb": SUBMIT}
    texts |= {"template___script__sh": "#!/bin/bash\nsleep 60\n"}
    for name, text in (texts | files).items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if "script" in path.name:
            path.chmod(0o755)
    return folder
