"""Blocks of code: their language's name above them, and a class by which the browser colours them."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

TITLE_LIMIT = 30
# Title, then the grammar in static/vendor/highlight (- where none is wanted), then what else models call it.
_LANGUAGES = """
Bash: bash sh shell zsh slurm sbatch
C: c h
C++: cpp c++ cc cxx hpp
CMake: cmake
C#: csharp c# cs
CSS: css
CUDA: cpp cuda cu
Diff: diff patch
Dockerfile: dockerfile docker containerfile
Fortran: fortran f90 f95 f03 f08 f77
Go: go golang
Haskell: haskell hs
HTML: xml html xhtml svg
INI: ini cfg conf
Java: java
JavaScript: javascript js jsx mjs node
JSON: json jsonc jsonl
Julia: julia jl
Kotlin: kotlin kt
LaTeX: latex tex
Lisp: lisp elisp scheme
Lua: lua
Makefile: makefile make mk
Markdown: markdown md
MATLAB: matlab octave
Mermaid: - mermaid
OCaml: ocaml ml
Perl: perl pl
PHP: php
PowerShell: powershell ps1
Python: python py python3 ipython
R: r rlang
Ruby: ruby rb
Rust: rust rs
Scala: scala
SQL: sql sqlite postgresql postgres mysql
Swift: swift
Tcl: tcl modulefile
TOML: ini toml
TypeScript: typescript ts tsx
Verilog: verilog systemverilog sv
XML: xml
YAML: yaml yml
"""


def _read_languages(table: str) -> dict[str, tuple[str, str]]:
    languages: dict[str, tuple[str, str]] = {}
    for line in table.strip().splitlines():
        title, names = line.split(": ")
        grammar, *aliases = names.split()
        for name in (title.lower(), grammar, *aliases):
            languages.setdefault(name, (title, grammar.strip("-")))
    return languages


LANGUAGES = _read_languages(_LANGUAGES)
GRAMMARS = frozenset(grammar for _, grammar in LANGUAGES.values() if grammar)
CLASSES = frozenset(f"language-{grammar}" for grammar in GRAMMARS)


def add_code_blocks(parser: MarkdownIt) -> None:
    parser.add_render_rule("fence", _render)
    parser.add_render_rule("code_block", _render)


def code_block(code: str, info: str) -> str:
    """Write the HTML; `info` is what stands behind the opening fence."""
    name = info.split(maxsplit=1)[0] if info.strip() else ""
    title, grammar = LANGUAGES.get(name.lower(), (name[:TITLE_LIMIT], ""))
    attribute = f' class="language-{grammar}"' if grammar else ""
    return (
        f'<div class="code-block"><div class="code-head">{escapeHtml(title)}</div>'
        f'<pre tabindex="0"><code{attribute}>{escapeHtml(code)}</code></pre></div>\n'
    )


def _render(self: RendererProtocol, tokens: list[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return code_block(tokens[index].content, tokens[index].info)
