"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a free port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from storage import lake
from storage.database import Database

PLACES = ["/usr/local/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin"]


def program(name: str) -> str | None:
    """The path of a program of PostgreSQL's server, which Debian keeps off the PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, versions), os.environ.get("PATH", ""), *PLACES]))


class Cluster:
    """A running server that trusts whoever is on this machine."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._made = 0
        self._ready: str | None = None
        self._admin = duckdb.connect(":memory:")
        lake.load(self._admin, "postgres_scanner")
        self._admin.execute(f"ATTACH 'postgres:{self.parameters('postgres')}' AS admin")

    def parameters(self, database: str) -> str:
        return f"dbname={database} host=127.0.0.1 port={self.port} user=driftmap"

    def new_lake(self) -> str:
        """The location of a lake whose catalog is a new, empty PostgreSQL database."""
        return self._new_database("")

    def ready_lake(self, data_path: Path) -> str:
        """The location of a lake that has its tables, and its files in `data_path`: the copy of one made once."""
        files = self.folder / "files"
        if self._ready is None:
            self._ready = self.new_lake()
            Database.open(self._ready, str(files)).close()
        shutil.copytree(files, data_path)
        location = self._new_database(f"TEMPLATE {database_of(self._ready)}")
        self._admin.execute(f"ATTACH 'postgres:{self.parameters(database_of(location))}' AS copy")
        move = f"UPDATE ducklake_metadata SET value = {lake.literal(f'{data_path}/')} WHERE key = 'data_path'"
        self._admin.execute(f"CALL postgres_execute('copy', {lake.literal(move)}); DETACH copy")
        return location

    def _new_database(self, options: str) -> str:
        self._made += 1
        name = f"lake{self._made}"
        self.execute(f"CREATE DATABASE {name} {options}")
        return f"ducklake:postgres:{self.parameters(name)}"

    def execute(self, sql: str) -> None:
        self._admin.execute(f"CALL postgres_execute('admin', {lake.literal(sql)}, use_transaction=false)")

    def cut(self, location: str, *, only_locks: bool = False) -> None:
        """End every connection to the catalog of a lake, or those that hold a lock of ours."""
        database = database_of(location)
        locks = "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')" if only_locks else ""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' {locks}")

    def writes(self, application: str) -> bool:
        """Whether the process that calls itself `application` (by PGAPPNAME) is in the middle of a write to a lake."""
        sql = f"""SELECT count(*) AS n FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND objid = {lake.WRITING} AND granted AND application_name = '{application}'"""
        rows = self._admin.execute(f"FROM postgres_query('admin', {lake.literal(sql)})").fetchall()
        return rows != [(0,)]

    def close(self) -> None:
        self._admin.close()


def database_of(location: str) -> str:
    """The PostgreSQL database that holds the catalog of a lake."""
    return location.partition("dbname=")[2].split()[0]


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A new cluster, gone at the end. PostgreSQL refuses to run as root, so there it runs as another user."""
    with tempfile.TemporaryDirectory(prefix="driftmap-postgres-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        data, log = folder / "data", folder / "log"
        if os.geteuid() == 0:
            user = other_user()
            os.chown(folder, user.pw_uid, user.pw_gid)
        port = free_port()
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        settings += " -c fsync=off -c full_page_writes=off"
        settings += " -c lock_timeout=200s"  # within DuckDB nothing else ends a wait, not pytest-timeout
        run("initdb", "-D", str(data), "-U", "driftmap", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run("pg_ctl", "-D", str(data), "-l", str(log), "-w", "-o", settings, "start")
        try:
            server = Cluster(folder, port)
            try:
                yield server
            finally:
                server.close()
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


def run(name: str, *arguments: str) -> None:
    command = [str(program(name)), *arguments]
    user = other_user() if os.geteuid() == 0 else None
    done = subprocess.run(
        command,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a pipe would stay open as long as the server runs
        stderr=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{' '.join(command)} failed"


def other_user() -> pwd.struct_passwd:
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
