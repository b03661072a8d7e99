"""Where this machine has Apache httpd: its program, its modules and the user it serves as."""

from __future__ import annotations

import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from portal.debian_package import install_sentence, search_path

PROGRAMS = ("apache2", "httpd")
PROGRAM_FOLDERS = ("/usr/local/apache2/bin", "/usr/local/sbin")
# Debian, Fedora and its kin, openSUSE, Arch, Alpine Linux, and Apache's own layout.
MODULES_FOLDERS = (
    "/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib64/apache2", "/usr/lib/httpd/modules",
    "/usr/lib/apache2", "/usr/local/apache2/modules",
)  # fmt: skip
MODULES = (
    "mpm_event", "unixd", "log_config", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "headers",
    "alias", "proxy", "proxy_http", "proxy_wstunnel", "lua",
)  # fmt: skip
MPM_FILES = {"event.c", "worker.c", "prefork.c"}
UNPRIVILEGED_USERS = ("www-data", "apache", "wwwrun", "http", "nobody")


class ApacheError(Exception):
    """httpd is not there or did not start; the message is what is needed, or the end of its error log."""


@dataclass(frozen=True)
class Httpd:
    """`modules` maps each module that must be loaded to its file; what is compiled in is not among them."""

    program: Path
    modules: dict[str, Path]


def find_httpd(path: str | None = None, modules_folders: Sequence[str] = MODULES_FOLDERS) -> Httpd:
    """Look along `path`, or the places where distributions put it; raise ApacheError with what is missing."""
    program = find_program(path)
    if program is None:
        raise ApacheError(
            f"Apache httpd (apache2 or httpd) is not installed. {install_sentence(['apache2'])};"
            " elsewhere install httpd 2.4 with mod_lua by the distribution's own means."
        )
    compiled_in = set(ask(program, "-l").split())
    wanted = [name for name in MODULES if not is_compiled_in(name, compiled_in)]
    folders = [*own_folders(program), *map(Path, modules_folders)]
    folder = next((folder for folder in folders if (folder / "mod_proxy_http.so").exists()), None)
    if folder is None:
        raise ApacheError(f"{program}: its modules (mod_proxy_http.so) are in none of {', '.join(map(str, folders))}.")
    missing = [f"mod_{name}" for name in wanted if not (folder / f"mod_{name}.so").exists()]
    if missing:
        raise ApacheError(f"{program}: {folder} lacks {', '.join(missing)}. Install these modules of httpd 2.4.")
    return Httpd(program, {name: folder / f"mod_{name}.so" for name in wanted})


def find_program(path: str | None = None) -> Path | None:
    where = ":".join([search_path(), *PROGRAM_FOLDERS]) if path is None else path
    found = (shutil.which(name, path=where) for name in PROGRAMS)
    return next((Path(program) for program in found if program), None)


def own_folders(program: Path) -> list[Path]:
    """Return the folder of modules below the server's root, which `httpd -V` tells."""
    return [Path(root, "modules") for root in re.findall(r'HTTPD_ROOT="([^"]+)"', ask(program, "-V"))]


def is_compiled_in(name: str, files: set[str]) -> bool:
    return bool(files & MPM_FILES) if name.startswith("mpm_") else f"mod_{name}.c" in files


def ask(program: Path, option: str) -> str:
    done = subprocess.run([str(program), option], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout


def unprivileged_account() -> pwd.struct_passwd:
    """Return the user that httpd serves as when root starts it; distributions name it differently."""
    for name in UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ApacheError(f"This machine has none of the users that httpd serves as: {', '.join(UNPRIVILEGED_USERS)}.")
