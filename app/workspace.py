"""What every command, the HTTP API and the dashboard work on: a configuration and its open database."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from monitoring.configuration import Configuration, MonitoredModel
from storage.catalog import register_model
from storage.database import Database
from storage.errors import NotFoundError
from storage.regions import load_regions, region_sets

if TYPE_CHECKING:
    from monitoring.worker import Worker

Progress = Callable[[str, int, int], None]


def silent(text: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class Workspace:
    """A configuration, the database it names (opened on first use) and the process that does heavy work.

    `progress(text, done, total)` is told how far a long command has come.
    """

    def __init__(
        self, configuration: Configuration, database: Database | None = None, progress: Progress = silent
    ) -> None:
        self.configuration = configuration
        self.progress = progress
        self.monitoring = threading.Lock()
        self._opening = threading.RLock()
        self._database = database
        self._worker: Worker | None = None

    @property
    def database(self) -> Database:
        """The open database. Raises DatabaseInUseError where another process owns it."""
        with self._opening:
            if self._database is None:
                self._database = Database.open(self.configuration.database_path, self.configuration.files_of_lake)
            return self._database

    @property
    def worker(self) -> "Worker":
        """The process for heavy work; it starts with its first task."""
        with self._opening:
            if self._worker is None:
                from monitoring.worker import Worker

                self._worker = Worker()
            return self._worker

    def with_configuration(self, configuration: Configuration) -> "Workspace":
        """This workspace's database and worker, under another configuration. Close only the first."""
        other = Workspace(configuration, self.database)
        other.monitoring = self.monitoring
        other._worker = self.worker
        return other

    def model(self, name: str) -> MonitoredModel:
        """The configured model `name`, registered, with its region set loaded. Raises NotFoundError."""
        if name not in self.configuration.models:
            known = ", ".join(self.configuration.models) or "none"
            raise NotFoundError(f"No model '{name}' in the configuration. It has: {known}.")
        model = self.configuration.models[name]
        with self._opening:
            if model.regions is not None:
                self._load_regions_once(model.regions)
            register_model(self.database, model.stored)
        return model

    def prepare(self) -> None:
        """Register every configured model and load every configured region set that is not there yet."""
        with self._opening:
            for name in self.configuration.regions:
                self._load_regions_once(name)
            for name in self.configuration.models:
                self.model(name)

    def _load_regions_once(self, name: str) -> None:
        if name not in region_sets(self.database):
            source = self.configuration.regions[name]
            path = self.configuration.resolve(source.path)
            load_regions(self.database, name, path, source.id, source.name, source.parent)

    def close(self) -> None:
        """Stop the worker and close the database."""
        if self._worker is not None:
            self._worker.close()
        with self._opening:
            if self._database is not None:
                self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
