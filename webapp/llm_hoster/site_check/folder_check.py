"""The software that site.yml names, on a machine that sees it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from llm_hoster.catalogue.site import Engine
from llm_hoster.site_check.finding import Finding
from llm_hoster.site_check.site_file import SiteFile, nearest

OTHERS_READ = 0o005


def check_folders(file: SiteFile) -> Iterator[Finding]:
    """Look for the app and the engines; a prefix that is not here at all is told and no more."""
    prefix = _resolve(file, file.site.prefix)
    if not prefix.is_dir():
        yield Finding(
            "unread", f"{prefix} is not on this machine: run this on a compute node to check app and engines."
        )
        return
    if prefix.stat().st_mode & OTHERS_READ != OTHERS_READ:
        yield file.finding(("prefix",), f"a folder that every user may read: chmod o+rx {prefix}")
    app = prefix / "app" / (file.site.app + ("-aarch64" if platform.machine() == "aarch64" else ""))
    if not os.access(app / "bin" / "llm-hoster", os.X_OK):
        there = _names(prefix / "app")
        expected = f"a folder below {prefix}/app with bin/llm-hoster: {', '.join(there) or 'there is none'}"
        yield file.finding(("app",), expected, new=nearest(file.site.app, there))
    for index, engine in enumerate(file.site.engines):
        yield from _check_engine(file, index, engine, prefix)


def _check_engine(file: SiteFile, index: int, engine: Engine, prefix: Path) -> Iterator[Finding]:
    here = ("engines", index)
    if engine.kind == "module":
        return
    target = _resolve(file, engine.target) if engine.target else prefix / "engine" / engine.name
    if engine.kind == "apptainer":
        if not os.access(target, os.R_OK):
            yield file.finding((*here, "target"), f"an image that can be read; {target} cannot")
    elif not os.access(target / "bin" / "vllm", os.X_OK):
        there = _names(prefix / "engine")
        expected = f"an engine with {target}/bin/vllm; below {prefix}/engine there is {', '.join(there) or 'none'}"
        field = "target" if engine.target else "name"
        yield file.finding((*here, field), expected, new=None if engine.target else nearest(engine.name, there))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _resolve(file: SiteFile, path: str) -> Path:
    """Fill in variables as the node does, and begin a relative path at site.yml."""
    return Path(os.path.normpath(file.path.absolute().parent / os.path.expandvars(path)))
