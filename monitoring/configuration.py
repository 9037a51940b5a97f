"""driftmap.yaml: read, checked, overridden by DRIFTMAP_… variables."""

import os
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from monitoring.windows import Span
from storage.errors import InvalidConfigurationError
from storage.lake import is_lake, problem
from storage.models import Model

CONFIGURATION_FILE = "driftmap.yaml"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RegionSource(Strict):
    """A file of polygons, and the names of its columns."""

    path: Path
    id: str = "region_id"
    name: str = "name"
    parent: str | None = "parent_id"


class Reference(Strict):
    """What a window is compared with: a span of days, a version, or the days before the window.

    `from` and `to` are both included.
    """

    from_: date | None = Field(default=None, alias="from")
    to: date | None = None
    version: str | None = None
    trailing: Span | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Reference":
        kinds = [self.from_ is not None or self.to is not None, bool(self.version), self.trailing is not None]
        if sum(kinds) != 1:
            raise ValueError("say one of: from and to, version, trailing")
        if kinds[0] and (self.from_ is None or self.to is None or self.to < self.from_):
            raise ValueError("from and to are both needed, and from comes first")
        return self

    def __str__(self) -> str:
        if self.version is not None:
            return f"version {self.version}"
        if self.trailing is not None:
            return f"the {self.trailing} before"
        return f"{self.from_} to {self.to}"


class Scoring(Strict):
    """A torch program that the monitor scores new feature tables with."""

    program: Path
    tables: str
    passes: Annotated[int, Field(ge=1, le=1000)] = 20
    batch_size: Annotated[int, Field(ge=1)] = 8192


class MonitoredModel(Model):
    """A model of the configuration: what storage needs, and how it is monitored."""

    reference: Reference = Reference(trailing=Span.parse("28d"))
    window: Span = Span.parse("7d")
    schedule: str | None = "0 6 * * *"
    scoring: Scoring | None = None

    @property
    def stored(self) -> Model:
        """The part that storage keeps."""
        return Model(**{name: getattr(self, name) for name in Model.model_fields})


class Channel(Strict):
    """Where alerts are sent: an Apprise URL, given here or (for secrets) by the name of a variable."""

    url: str | None = None
    url_from: str | None = None

    @model_validator(mode="after")
    def _one_url(self) -> "Channel":
        if (self.url is None) == (self.url_from is None):
            raise ValueError("say either url or url_from")
        return self


class Rule(Strict):
    """When an alert opens: findings of `metric` (a trailing * matches any) with at least this verdict."""

    name: str
    metric: str
    severity: Literal["warning", "critical"] = "critical"
    channels: tuple[str, ...] | None = None


DEFAULT_RULES = (
    Rule(name="accuracy", metric="accuracy"),
    Rule(name="drift", metric="drift:*"),
    Rule(name="calibration", metric="confidence_gap"),
)


class Alerts(Strict):
    channels: dict[str, Channel] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = DEFAULT_RULES


class Configuration(Strict):
    database: str = "driftmap.duckdb"
    data_path: str | None = None
    url: str = "http://localhost:5006"
    regions: dict[str, RegionSource] = Field(default_factory=dict)
    models: dict[str, MonitoredModel] = Field(default_factory=dict)
    alerts: Alerts = Alerts()
    api_token: str | None = None
    folder: Path = Field(default=Path(), exclude=True)

    @field_validator("api_token", mode="before")
    @classmethod
    def _no_empty_token(cls, token: Any) -> Any:
        return token or None  # an empty variable must not open the door

    @field_validator("database")
    @classmethod
    def _usable_lake(cls, database: str) -> str:
        if is_lake(database) and (wrong := problem(database)):
            raise ValueError(wrong)
        return database

    @field_validator("models", mode="before")
    @classmethod
    def _named(cls, models: Any) -> Any:
        if not isinstance(models, dict):
            return models
        return {name: {**body, "name": name} if isinstance(body, dict) else body for name, body in models.items()}

    @model_validator(mode="after")
    def _data_path_of_a_lake(self) -> "Configuration":
        if is_lake(self.database) and self.data_path is None:
            raise ValueError("data_path: missing; say where the lake keeps its files, as /shared/driftmap or s3://…")
        if self.data_path is not None and not is_lake(self.database):
            raise ValueError("data_path: only a lake has one (database: ducklake:postgres:…)")
        return self

    @model_validator(mode="after")
    def _known_names(self) -> "Configuration":
        for name, model in self.models.items():
            if model.regions is not None and model.regions not in self.regions:
                raise ValueError(f"models.{name}.regions: no region set '{model.regions}' under regions")
        for rule in self.alerts.rules:
            for channel in rule.channels or ():
                if channel not in self.alerts.channels:
                    raise ValueError(f"alerts.rules.{rule.name}: no channel '{channel}' under alerts.channels")
        return self

    def resolve(self, path: Path | str) -> Path:
        """`path` as seen from the folder of the configuration file."""
        return (self.folder / path).resolve()

    @property
    def database_path(self) -> str:
        return self.database if ":" in self.database else str(self.resolve(self.database))

    @property
    def files_of_lake(self) -> str | None:
        """Where a lake keeps its files: an absolute path or a URL. None for an embedded file."""
        if self.data_path is None or "://" in self.data_path:
            return self.data_path
        return str(self.resolve(self.data_path))


def load_configuration(path: Path) -> Configuration:
    """The configuration in the YAML file `path`, with DRIFTMAP_… variables applied.

    Raises InvalidConfigurationError naming each wrong key.
    """
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise InvalidConfigurationError(
            f"{path}: no such file. Write one with 'driftmap init', or name yours with --config."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidConfigurationError(f"{path}: not readable as YAML: {one_line(error)}") from error
    if not isinstance(body, dict):
        raise InvalidConfigurationError(f"{path}: expected keys such as 'database:' and 'models:' at the top.")
    for key, value in variables().items():
        insert(body, key, value)
    try:
        return Configuration.model_validate({**body, "folder": path.resolve().parent})
    except ValidationError as error:
        raise InvalidConfigurationError(f"{path}: {what_is_wrong(error)}") from error


def configured_lake(database: str, data_path: str) -> Configuration:
    """A configuration of nothing but a lake; a relative `data_path` is seen from the working folder.

    Raises InvalidConfigurationError.
    """
    try:
        return Configuration(database=database, data_path=data_path)
    except ValidationError as error:
        raise InvalidConfigurationError(what_is_wrong(error)) from error


def what_is_wrong(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}".lstrip(": ")
        for item in error.errors()
    )


def variables() -> dict[tuple[str, ...], Any]:
    """What DRIFTMAP_… variables say: DRIFTMAP_DATABASE, DRIFTMAP_MODELS__crops__window (`__` between keys)."""
    plain = {"database", "data_path", "url", "api_token"}
    found: dict[tuple[str, ...], Any] = {}
    for name, value in os.environ.items():
        keys = tuple(name.removeprefix("DRIFTMAP_").split("__"))
        keys = (keys[0].lower(), *keys[1:])
        if name.startswith("DRIFTMAP_") and (keys[0] in plain or len(keys) > 1):
            found[keys] = value if keys[0] in plain else yaml.safe_load(value)
    return found


def insert(body: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        body = body.setdefault(key, {})
    body[keys[-1]] = value


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def midnight(moment: date) -> datetime:
    """The naive UTC datetime at which the day `moment` begins."""
    return datetime(moment.year, moment.month, moment.day)
