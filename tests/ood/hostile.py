"""Values that a stranger may send in a field: syntax of shells, YAML, ERB and HTML, and what is merely odd."""

from __future__ import annotations

HOSTILE = [
    "$(touch /tmp/owned)",
    "`id`",
    "'; rm -rf ~; '",
    '"; exit 1; "',
    "<%= `id` %>",
    "%><%= raise %>",
    "x: {y",
    "- a\n- b",
    "line\nnative: [--uid=0]",
    "#{`id`}",
    "<script>alert(1)</script>",
    "--help",
    "\\\\u0000\t",
    "日本語",
    "9" * 10_000,
]
