"""Values that a stranger may send in a field: syntax of shells, YAML, ERB and HTML, and what is merely odd."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MARK = Path(tempfile.gettempdir()) / f"llm-hoster-executed-{os.getpid()}"  # what any of them would leave if it ran
HOSTILE = [
    f"$(touch {MARK})",
    f"`touch {MARK}`",
    f"'; touch {MARK}; '",
    f'"; touch {MARK}; "',
    f"| touch {MARK} &",
    f"<%= `touch {MARK}` %>",
    f"%><%= `touch {MARK}` %><%",
    f"#{{`touch {MARK}`}}",
    "x: {y",
    "- a\n- b",
    "line\nnative: [--uid=0]",
    '"], "x": [',
    "!ruby/object:Gem::Installer {}",
    "%{value} %{offered} %s",
    r"\0 \1 \\k<name>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "--help",
    "\\\\u0000\t",
    "\x00",
    "\x1f\x7f\x80\u2028\ufeff",
    "日本語",
    "שלום",
    "١٢",
    "\uff12",
    "👩‍🔬",
    "null",
    "-1",
    "1e3",
    "1.5",
    " 1",
    "1 ",
    "01",
    "1\n",
    "9" * 10_000,
    "x" * 10_000,
    "日" * 10_000,
]
# Folders may have any name, so these are refused for their length and their control characters alone.
HOSTILE_FOLDERS = ["/" + value for value in HOSTILE]
