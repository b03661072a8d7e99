"""A missing program fails with the command that installs it, wherever it is found missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal import debian_package, demo_site
from portal.apache import hashed_line
from portal.debian_package import MissingProgramError, find_program, package_of, require_packages
from portal.ruby import RubyError, ask_ruby
from portal.staging import stage
from tests.cluster import requirement

INSTALL = "On Debian or Ubuntu: apt-get install -y --no-install-recommends"


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH that leads to none of the programs."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_the_packages_that_are_missing_are_named_all_at_once(tmp_path: Path) -> None:
    checks = tmp_path / "debian.txt"
    checks.write_text("# package, check\nslurmctld  command -v no-such-program\ndash  command -v sh\nmunge  false\n")
    with pytest.raises(MissingProgramError, match=f"{INSTALL} munge slurmctld$"):
        require_packages(["slurmctld", "dash", "munge"], checks)


@pytest.mark.parametrize("packages", [demo_site.PACKAGES, requirement.PACKAGES])
def test_what_demo_and_cluster_need_is_in_the_repositorys_list(packages: tuple[str, ...]) -> None:
    assert set(packages) <= set(debian_package.read_checks(debian_package.LIST))


@pytest.mark.parametrize(
    ("program", "package"),
    [("htpasswd", "apache2-utils"), ("ss", "iproute2"), ("ps", "procps"), ("curl", "curl"), ("setpriv", "util-linux")],
)
def test_a_programs_package_is_known_from_the_list(program: str, package: str) -> None:
    assert package_of(program) == package


def test_a_program_of_the_system_folders_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert find_program("slurmctld") == "/usr/sbin/slurmctld"


@pytest.mark.usefixtures("bare_machine")
def test_without_htpasswd_apache_says_what_to_install() -> None:
    with pytest.raises(MissingProgramError, match=f"^htpasswd is not installed. {INSTALL} apache2-utils$"):
        hashed_line("alice", "pw")


@pytest.mark.usefixtures("bare_machine")
def test_without_rsync_a_launch_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MissingProgramError, match=f"{INSTALL} rsync$"):
        stage(tmp_path / "template", tmp_path / "staged", {}, {}, {})


@pytest.mark.usefixtures("bare_machine")
def test_without_ruby_a_page_says_what_to_install() -> None:
    with pytest.raises(RubyError, match=f"{INSTALL} ruby$"):
        ask_ruby({})
