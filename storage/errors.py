"""The errors driftmap raises on purpose. Each message says what is wrong, where, and what to do."""


class DriftmapError(Exception):
    """Anything driftmap can explain to the person in front of it, in one line."""


class InvalidConfigurationError(DriftmapError):
    """driftmap.yaml (or a variable that overrides it) does not say something we can act on."""


class InvalidFileError(DriftmapError):
    """A whole file cannot be used: unreadable, an unknown format, or a column is missing."""


class NotFoundError(DriftmapError):
    """A model, region, run, report or alert that does not exist was asked for."""


class DatabaseInUseError(DriftmapError):
    """Another process owns the database file."""


class DatabaseVersionError(DriftmapError):
    """The database was written by a newer driftmap."""


class MissingDependencyError(DriftmapError):
    """An optional library (torch) is needed and is not installed."""


class LeasedError(DriftmapError):
    """Another process does at this moment what we were about to do."""
