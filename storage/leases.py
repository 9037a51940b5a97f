"""Leases: which process does a task on a lake, so that no other does it at the same time.

A lease is a row in the catalog's PostgreSQL: task, holder, and when it ends by PostgreSQL's clock. Taking one is
one statement, so two processes cannot both have it. The holder renews it in the background; one that dies does
not, and a minute later another may take over. An embedded file has one process, which needs no leases.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb

from storage import lake
from storage.database import Database
from storage.errors import DriftmapError, LeasedError

log = logging.getLogger("driftmap")

SECONDS = 60.0  # how long a lease lasts unless it is renewed
POLL = 0.5


class Lease:
    """A task that this process does, and no other."""

    def __init__(self, database: Database, task: str, seconds: float) -> None:
        self.task = task
        self.holder = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        self._database = database
        self._seconds = seconds
        self._ended = threading.Event()
        self._renewing: threading.Thread | None = None

    def take(self) -> bool:
        """Take the lease where nobody has it, or renew it; whether it is ours now."""
        with self._database.cursor() as cursor:
            lake.tell(
                cursor,
                f"""INSERT INTO driftmap_lease VALUES ({lake.literal(self.task)}, {lake.literal(self.holder)},
                    clock_timestamp() + interval '{self._seconds} seconds')
                ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, expires = excluded.expires
                WHERE driftmap_lease.holder = excluded.holder OR driftmap_lease.expires < clock_timestamp()""",
            )
            return self._held(cursor)

    def confirm(self) -> None:
        """Raises LeasedError where the lease went to another process, while this one slept or was cut off."""
        if not self.take():
            raise LeasedError(f"{self.task}: another process took over. Its result counts.")

    def keep(self) -> None:
        """Renew the lease in the background until it is given back."""
        self._renewing = threading.Thread(target=self._renew, name=f"lease {self.task}", daemon=True)
        self._renewing.start()

    def give_back(self) -> None:
        self._ended.set()
        if self._renewing is not None:
            self._renewing.join()
        with suppress(duckdb.Error, DriftmapError), self._database.cursor() as cursor:  # else it ends by itself
            lake.tell(cursor, f"DELETE FROM driftmap_lease WHERE holder = {lake.literal(self.holder)}")

    def _held(self, cursor: duckdb.DuckDBPyConnection) -> bool:
        rows = lake.ask(cursor, f"SELECT holder FROM driftmap_lease WHERE task = {lake.literal(self.task)}")
        return rows == [(self.holder,)]

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 3):
            try:
                if not self.take():
                    log.error("%s: the lease was lost to another process", self.task)
                    return
            except (duckdb.Error, DriftmapError) as error:  # a catalog that restarts may be back in time
                log.warning("%s: the lease was not renewed: %s", self.task, lake.first_line(error))


@contextmanager
def leased(database: Database, task: str, wait: float = 0, seconds: float = SECONDS) -> Iterator[Lease | None]:
    """Be the one process that does `task`; on an embedded file there is no other, and no lease.

    Raises LeasedError where another process has it, after `wait` seconds of asking again.
    """
    if not database.shared:
        yield None
        return
    lease = Lease(database, task, seconds)
    until = time.monotonic() + wait
    while not lease.take():
        if time.monotonic() >= until:
            raise LeasedError(f"{task}: another process is at it. Try again when it has finished.")
        time.sleep(POLL)
    lease.keep()
    try:
        yield lease
    finally:
        lease.give_back()
