"""The sentences that the code makes for people: found in its texts, with {names} for what is filled in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from translation.code_words import WORDS

PACKAGE = Path(__file__).parent.parent / "webapp" / "llm_hoster"
# Whose sentences are shown by the pages.
PLACES = (
    "access",
    "api_keys",
    "attachments",
    "catalogue/sentences.py",
    "chat",
    "engine/cluster/ray_cluster.py",
    "engine/failures",
    "engine/model/download.py",
    "engine/model/model_link.py",
    "engine/model/staging.py",
    "engine/supervision/activity.py",
    "engine/supervision/adapters.py",
    "engine/supervision/pulse.py",
    "engine/supervision/service.py",
    "engine/supervision/sleepers.py",
    "engine/supervision/supervisor.py",
    "engine/vllm/adapter_loading.py",
    "engine/vllm/steps.py",
    "engine/vllm/weights_progress.py",
    "gateway/admission.py",
    "gateway/guesses.py",
    "gateway/key.py",
    "status",
    "web.py",
)
# What these write is read by programs or by the model.
# Their sentences are those of the form, and of examples of a program.
WORDS_ALONE = ("catalogue/sentences.py", "status/snippet.py")
LEFT_OUT = ("attachments/passages.py", "chat/cut.py", "chat/summary.py", "chat/titles.py", "status/metrics.py")
# Values that are sentences themselves: each is translated for itself.
WHOLE_VALUES = re.compile(r"(?<=[.?!])(?: \{\w+\})+$|^\{cause\} (?=\{)")
# What is said to these is read in a log, or by a program.
UNSEEN_CALLS = (
    "say",
    "tell",
    "_tell",
    "print",
    "debug",
    "info",
    "warning",
    "error",
    "exception",
    "execute",
    "ValueError",
    "_",
    "gettext",
    "ngettext",
)
# Begins as a sentence does, or with one of its values; ends as one does, or with what somebody else has said.
SENTENCE = re.compile(r"""["'(]?(?:[A-Z]|\{|\d|v?LLM).* .*(?:[.?!]|: \{\w+\})\s*""", re.DOTALL)
# Questions to the database, patterns of logs, lines of a protocol.
OTHERS = re.compile(r"(?:SELECT|UPDATE|DELETE|INSERT) |.*(?:= ?\?|\\|\.\*|\n|\{not_staged\})", re.DOTALL)


@dataclass(frozen=True)
class Text:
    """`path` is relative to the package."""

    path: str
    line: int
    message: str
    # Of a panel.
    is_title: bool = False

    @property
    def is_sentence(self) -> bool:
        if self.path in WORDS_ALONE:
            return False
        words = re.findall(r"[^\W\d_]{2,}", re.sub(r"\{\w+\}", "", self.message))
        return bool(SENTENCE.fullmatch(self.message)) and not OTHERS.match(self.message) and len(words) > 1


def code_sentences() -> list[Text]:
    """Give the sentences, and the words of `code_words`; raise ValueError for those that are nowhere."""
    texts = [text for path in _paths() for text in texts_of(path)]
    missing = WORDS - {text.message for text in texts}
    if missing:
        raise ValueError(f"these words of translation/code_words.py are not in the code: {sorted(missing)}")
    return [text for text in texts if text.message in WORDS or text.is_sentence or text.is_title]


def _paths() -> Iterator[Path]:
    for place in PLACES:
        path = PACKAGE / place
        for found in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if str(found.relative_to(PACKAGE)) not in LEFT_OUT:
                yield found


def texts_of(path: Path) -> Iterator[Text]:
    """Give all texts of a module but documentation and what nobody sees."""
    relative, tree = str(path.relative_to(PACKAGE)), ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) == "panel"]
    titles = {id(call.args[1]) for call in calls if len(call.args) > 1}
    beginnings = _beginnings(tree)
    for node in _visible(tree):
        message = _message(node, beginnings)
        if message:
            yield Text(relative, node.lineno, WHOLE_VALUES.sub("", message.strip()), id(node) in titles)


def _visible(node: ast.AST) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        is_documentation = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        is_unseen = isinstance(child, ast.Call) and _name(child.func) in UNSEEN_CALLS
        if is_documentation or is_unseen:
            continue
        if isinstance(child, (ast.Constant, ast.JoinedStr)):
            yield child
            if isinstance(child, ast.JoinedStr):
                for value in child.values:
                    if isinstance(value, ast.FormattedValue):
                        yield from _visible(value)
            continue
        yield from _visible(child)


def _beginnings(tree: ast.Module) -> dict[str, str]:
    """Give the constants that are a part of a sentence, by their names."""
    constants = [each for each in tree.body if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)]
    values = {_name(each.targets[0]): each.value.value for each in constants}  # type: ignore[attr-defined]
    return {name: value for name, value in values.items() if isinstance(value, str) and value.endswith(" ")}


def _message(node: ast.expr, beginnings: dict[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return _plain(node.value) if isinstance(node.value, str) else ""
    assert isinstance(node, ast.JoinedStr)  # noqa: S101 - nothing else is looked at
    pieces: list[str] = []
    names: list[str] = []
    for each in node.values:
        if isinstance(each, ast.Constant):
            pieces.append(_plain(str(each.value)))
            continue
        name = _name(each.value)  # type: ignore[attr-defined]
        if name in beginnings:
            pieces.append(beginnings[name])
            continue
        names.append(name)
        earlier = names.count(name)
        pieces.append(f"{{{name}{earlier if earlier > 1 else ''}}}")
    return "".join(pieces)


def _plain(text: str) -> str:
    r"""Give the places of str.format, and `\1` of a pattern's replacement, their names alone."""
    text = re.sub(r"%\{(\w+)\}", r"{\1}", text)  # As `fill` of the form's sentences has them.
    text = re.sub(r"\{(\w+)(?::[^{}]*|![rs])\}", r"{\1}", text).replace("{}", "{value}")
    return re.sub(r"\\(\d)", r"{\1}", text)


def _name(node: ast.expr) -> str:
    """Name a value in a word, for translators."""
    if isinstance(node, ast.Name):
        return node.id.strip("_").lower()
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_").lower()
    if isinstance(node, ast.Call):
        inner = (
            node.args[0] if isinstance(node.func, ast.Name) and node.func.id in {"int", "len"} and node.args else None
        )
        return _name(inner or node.func)
    if isinstance(node, (ast.Subscript, ast.Starred)):
        return _name(node.value)
    if isinstance(node, ast.BinOp):
        return _name(node.left)
    return "value"
