"""bin/system-packages tells an ordinary user what is missing, and does nothing where nothing is."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PROGRAM = REPOSITORY / "bin" / "system-packages"
NOBODY = 65534


@pytest.fixture
def world_readable(tmp_path: Path) -> Path:
    """A folder that an ordinary user reaches, with the program in it."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    (tmp_path / "system-packages").write_bytes(PROGRAM.read_bytes())
    (tmp_path / "system-packages").chmod(0o755)
    return tmp_path


def run_as_ordinary_user(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "system-packages"), str(folder / "packages.txt")]
    user = NOBODY if os.geteuid() == 0 else None
    return subprocess.run(command, capture_output=True, text=True, user=user, env={"PATH": path}, timeout=30)


def test_an_ordinary_user_reads_which_package_is_missing_and_the_command(world_readable: Path) -> None:
    (world_readable / "packages.txt").write_text(
        "# a comment\nbash command -v bash\nno-such-package command -v no-such-program && true\n"
    )
    (world_readable / "apt-get").write_text("#!/bin/sh\n")
    (world_readable / "apt-get").chmod(0o755)
    done = run_as_ordinary_user(world_readable, f"/usr/bin:/bin:{world_readable}")
    assert done.returncode == 1
    assert done.stderr == (
        "system-packages: missing: no-such-package. "
        "As root: apt-get install -y --no-install-recommends no-such-package\n"
    )


def test_on_another_distribution_the_packages_are_named_in_one_sentence(world_readable: Path) -> None:
    for program in ("bash", "env", "dirname"):
        (world_readable / program).symlink_to(f"/usr/bin/{program}")
    (world_readable / "packages.txt").write_text("no-such-package command -v no-such-program\n")
    command = ["/usr/bin/bash", str(world_readable / "system-packages"), str(world_readable / "packages.txt")]
    # A PATH of /usr/sbin and /sbin is added by the program itself; apt-get is in neither.
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(world_readable)}, timeout=30)
    assert done.returncode == 1
    assert "by this distribution's own means: no-such-package" in done.stderr


def test_where_nothing_is_missing_it_is_silent_and_calls_no_apt_get(world_readable: Path) -> None:
    (world_readable / "packages.txt").write_text("bash command -v bash\n")
    (world_readable / "apt-get").write_text("#!/bin/sh\necho called >&2\nexit 1\n")
    (world_readable / "apt-get").chmod(0o755)
    done = run_as_ordinary_user(world_readable, f"{world_readable}:/usr/bin:/bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
