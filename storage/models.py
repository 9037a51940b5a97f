"""What a monitored model is: its classes, its features, and how its files name things."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
FeatureKind = Literal["numeric", "categorical"]


class Columns(BaseModel):
    """The names of the columns in prediction and label files.

    A column that is named here must be in the file. One left at its default is used where it is
    there; `id`, `time`, `predicted` and a position (`lon` and `lat`, or a geometry) are always needed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = "id"
    time: str = "time"
    lon: str = "lon"
    lat: str = "lat"
    predicted: str = "predicted"
    confidence: str = "confidence"
    probabilities: str = "p_{class}"
    entropy: str = "entropy"
    mutual_information: str = "mutual_information"
    label: str = "label"
    labelled: str = "labelled_at"
    area: str = "area_m2"
    version: str = "version"

    def probability(self, name: str) -> str:
        """The column that holds the probability of the class `name`."""
        return self.probabilities.replace("{class}", name)


class Model(BaseModel):
    """A monitored model, as storage needs to know it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    task: Literal["classification"] = "classification"
    classes: Annotated[tuple[Name, ...], Field(min_length=2)]
    columns: Columns = Columns()
    crs: str = "EPSG:4326"
    version: str = "1"
    features: dict[Name, FeatureKind] = Field(default_factory=dict)
    regions: str | None = None

    @model_validator(mode="after")
    def _distinct(self) -> "Model":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a class is named twice")
        if "{class}" not in self.columns.probabilities:
            raise ValueError("columns.probabilities: must contain {class}, as in p_{class}")
        return self
