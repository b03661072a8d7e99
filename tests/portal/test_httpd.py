"""Apache httpd is found under the names and in the folders that distributions give it."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal.httpd import MODULES, ApacheError, find_httpd, find_program, unprivileged_account

ALL_FILES = [f"mod_{name}.so" for name in MODULES]


def make_program(folder: Path, name: str, *, root: Path, compiled_in: str = "core.c mod_so.c http_core.c") -> Path:
    """Write a program that answers -l and -V as httpd does."""
    folder.mkdir(parents=True, exist_ok=True)
    listing = "\n  ".join(["Compiled in modules:", *compiled_in.split()])
    program = folder / name
    program.write_text(
        f"#!/bin/sh\n[ $1 = -l ] && echo '{listing}'\n[ $1 = -V ] && echo ' -D HTTPD_ROOT=\"{root}\"'\nexit 0\n"
    )
    program.chmod(0o755)
    return program


def make_modules(folder: Path, *left_out: str) -> Path:
    folder.mkdir(parents=True)
    for name in set(ALL_FILES) - set(left_out):
        (folder / name).touch()
    return folder


def test_this_machines_httpd_has_every_module() -> None:
    httpd = find_httpd()
    assert httpd.program == find_program()
    assert all(file.exists() for file in httpd.modules.values())
    assert {"lua", "proxy_http"} <= set(httpd.modules)


def test_fedoras_name_and_folders_are_found(tmp_path: Path) -> None:
    program = make_program(tmp_path / "sbin", "httpd", root=tmp_path / "etc" / "httpd")
    modules = make_modules(tmp_path / "etc" / "httpd" / "modules")
    httpd = find_httpd(str(program.parent), ())
    assert httpd.program == program
    assert httpd.modules == {name: modules / f"mod_{name}.so" for name in MODULES}


def test_modules_that_are_compiled_in_are_not_loaded(tmp_path: Path) -> None:
    program = make_program(tmp_path, "httpd", root=tmp_path, compiled_in="mod_unixd.c mod_log_config.c prefork.c")
    modules = make_modules(tmp_path / "lib64", "mod_unixd.so", "mod_mpm_event.so")
    found = find_httpd(str(program.parent), [str(modules)]).modules
    assert set(found) == set(MODULES) - {"unixd", "log_config", "mpm_event"}


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    program = make_program(tmp_path, "httpd", root=tmp_path)
    modules = make_modules(tmp_path / "modules", "mod_lua.so")
    with pytest.raises(ApacheError, match=f"{modules} lacks mod_lua. Install"):
        find_httpd(str(program.parent), ())


def test_a_machine_without_modules_is_told_where_they_were_looked_for(tmp_path: Path) -> None:
    program = make_program(tmp_path, "httpd", root=tmp_path)
    with pytest.raises(ApacheError, match=f"are in none of {tmp_path}/modules, /no/such/folder"):
        find_httpd(str(program.parent), ["/no/such/folder"])


def test_a_machine_without_httpd_is_told_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ApacheError, match="apt-get install -y --no-install-recommends apache2"):
        find_httpd(str(tmp_path))


def test_httpd_serves_as_no_root() -> None:
    assert unprivileged_account().pw_uid != 0
