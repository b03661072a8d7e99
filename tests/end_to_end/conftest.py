"""One cluster, one portal, one browser and four sessions for all end-to-end tests: each start of vLLM takes long.

The four are launched at once. `main` serves most tests and ends in the last file; `second` shares its node and is
cancelled; `dead` has a model without weights, and `absent` one that is nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.cluster.account import ALICE, BOB, Account
from tests.cluster.slurm_cluster import SlurmCluster
from tests.end_to_end.browser import open_context, run_browser
from tests.end_to_end.cluster_portal import ClusterPortal
from tests.end_to_end.http_client import HttpClient, basic_auth
from tests.end_to_end.launched_session import Launched, LaunchedSession
from tests.end_to_end.portal_pages import launch
from tests.end_to_end.site_app import REPOSITORY, make_site_app

# OnDemand itself fails with this home: its job script has `cd` without quotes before the session's path, so a space or
# a quote there ends the job before our first line (the stand-in quotes that one path). What the test shows is that all
# of ours bears such a path. No double quote and no `$`: OnDemand puts the other paths between double quotes.
AWKWARD_HOME = "/home/alice o'brien"
HOME_MIB = 50
# The first test that needs a session waits for its engine; pytest must wait longer than wait_until_ready does.
TEST_TIMEOUT_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for name in ("slurm", "browser", "engine"):
                item.add_marker(name)
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))


def python_homes(prefix: Path) -> list[Path]:
    """Find where the Pythons below these environments are installed: non-root users must be able to run them."""
    environments = [Path(sys.prefix), *(prefix / "app").iterdir(), *(prefix / "engine").iterdir()]
    homes = set()
    for environment in environments:
        homes.add(environment.resolve())
        homes.add((environment / "bin" / "python").resolve().parents[1])
        for line in (environment / "pyvenv.cfg").read_text().splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                homes.add(Path(value.strip()).parent)
    return sorted(homes)


@pytest.fixture(scope="session")
def cluster(prefix: Path) -> Iterator[SlurmCluster]:
    alice = Account(ALICE.name, ALICE.user_id, AWKWARD_HOME, home_mib=HOME_MIB)
    cluster = SlurmCluster(accounts=(alice, BOB), shared=[REPOSITORY, prefix, *python_homes(prefix)])
    with cluster:
        yield cluster


@pytest.fixture(scope="session")
def portal(cluster: SlurmCluster, prefix: Path) -> Iterator[ClusterPortal]:
    portal = ClusterPortal(cluster, make_site_app(cluster.folder, prefix))
    with portal.portal:
        yield portal


@pytest.fixture(scope="session")
def browser(cluster: SlurmCluster) -> Iterator[Browser]:
    with run_browser(cluster) as browser:
        yield browser


@pytest.fixture(scope="session")
def alice_context(browser: Browser, portal: ClusterPortal) -> Iterator[BrowserContext]:
    """Alice's browser, whose cookies all tests share as its windows would."""
    context = open_context(browser, portal.url, "alice", portal.passwords["alice"])
    yield context
    context.close()


@pytest.fixture
def page(alice_context: BrowserContext) -> Iterator[Page]:
    page = alice_context.new_page()
    yield page
    page.close()


@pytest.fixture(scope="session")
def launched(alice_context: BrowserContext, portal: ClusterPortal) -> Launched:
    page = alice_context.new_page()
    main = launch(page, portal, model="tiny", gpu_type="cpu", num_gpus="1", bc_num_hours="1", bc_account="ucb-general")
    second = launch(page, portal, model="tiny", gpu_type="fake", num_gpus="1", bc_num_hours="2")
    dead = launch(page, portal, model="hollow", gpu_type="cpu", num_gpus="1", bc_num_hours="1")
    absent = launch(page, portal, model="absent", gpu_type="cpu", num_gpus="1", bc_num_hours="1")
    page.close()
    return Launched(main, second, dead, absent)


@pytest.fixture
def main(launched: Launched) -> LaunchedSession:
    return launched.main.wait_until_ready()


@pytest.fixture
def alice(cluster: SlurmCluster) -> HttpClient:
    """Alice in a shell on the node where her session does not run."""
    return HttpClient(cluster, "alice", "n2", {})


@pytest.fixture
def bob(cluster: SlurmCluster) -> HttpClient:
    """Bob, logged in to the very node of alice's session."""
    return HttpClient(cluster, "bob", "n1", {})


@pytest.fixture
def bob_in_portal(cluster: SlurmCluster, portal: ClusterPortal) -> HttpClient:
    """Bob behind the portal's login."""
    return HttpClient(cluster, "bob", None, basic_auth("bob", portal.passwords["bob"]))
