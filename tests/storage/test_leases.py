"""One process at a time does a task on a lake; when it dies, another may."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.errors import LeasedError
from storage.leases import Lease, leased
from tests.postgres import Cluster


@pytest.fixture
def pair(postgres: Cluster, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """One lake, opened twice, as by two processes."""
    location = postgres.ready_lake(tmp_path / "lake")
    with Database.open(location) as one, Database.open(location) as other:
        yield one, other


def test_who_comes_second_is_told_and_who_comes_later_gets_it(pair: tuple[Database, Database]) -> None:
    one, other = pair
    with leased(one, "monitor crops"):
        with pytest.raises(LeasedError, match="monitor crops: another process"), leased(other, "monitor crops"):
            pass
        with leased(other, "monitor roads"):
            pass
    with leased(other, "monitor crops", wait=5):
        pass


def test_of_many_at_once_one_gets_it(pair: tuple[Database, Database]) -> None:
    leases = [Lease(database, "compact", 60) for database in pair * 8]
    begin, got = threading.Barrier(len(leases)), []

    def take(lease: Lease) -> None:
        begin.wait()
        if lease.take():
            got.append(lease)

    threads = [threading.Thread(target=take, args=[lease]) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_lease_lasts_while_its_holder_lives_and_no_longer(pair: tuple[Database, Database]) -> None:
    one, other = pair
    with leased(one, "monitor crops", seconds=1):
        time.sleep(2.5)
        with pytest.raises(LeasedError), leased(other, "monitor crops"):
            pass
    dead = Lease(one, "monitor crops", 1)
    assert dead.take()  # and never renews it
    with pytest.raises(LeasedError), leased(other, "monitor crops"):
        pass
    with leased(other, "monitor crops", wait=10) as lease:
        assert lease is not None
        lease.confirm()
        with pytest.raises(LeasedError, match="another process took over"):
            dead.confirm()


def test_an_embedded_file_has_no_leases(tmp_path: Path) -> None:
    with Database.open(str(tmp_path / "driftmap.duckdb")) as database, leased(database, "monitor crops") as lease:
        assert lease is None
