"""The commented driftmap.yaml that `driftmap init` writes."""

import os
from pathlib import Path

from storage.errors import DriftmapError

STARTER = """\
# driftmap: which models are watched, and how. Valid as it stands; edit it to fit yours.
# Every key is explained in docs/configuration.md. Paths are seen from the folder of this file.

database: driftmap.duckdb
url: http://localhost:5006                # where the dashboard is reached: alerts link to it

models:
  my_model:
    task: classification
    classes: [forest, crops, water, built]
    # The names of the columns in your files. Leave out what your files call by the default name.
    columns:
      id: id
      time: time                          # read as UTC where it names no zone
      lon: lon
      lat: lat
      predicted: predicted
      confidence: confidence              # optional, 0 to 1
      probabilities: p_{class}            # optional, one column a class
      label: label
      version: version                    # optional
    # What the model saw, to be watched for drift: numeric or categorical.
    features: {}
      # ndvi: numeric
      # sensor: categorical
    window: 7d                            # judged at a time: 7d, 2w, 1mo, 1y
    schedule: "0 6 * * *"                 # when 'driftmap serve' judges it (cron, UTC)
    reference: {trailing: 28d}            # or {from: 2026-01-01, to: 2026-03-31}, or {version: v1}
    # regions: provinces                  # one of the region sets below

# regions:
#   provinces: {path: provinces.geojson, id: region_id, name: name, parent: parent_id}

# alerts:
#   channels:
#     ops: {url_from: DRIFTMAP_OPS_URL}   # the variable that holds an Apprise URL

# The token that the HTTP API asks for comes from the variable DRIFTMAP_API_TOKEN.
"""


def write_starter(path: Path) -> None:
    """Write a commented configuration to `path`. Raises DriftmapError where there is a file already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise DriftmapError(f"{path}: is there already. Edit it, or choose another folder.") from None
    except OSError as error:
        raise DriftmapError(f"{path}: cannot be written: {error.strerror}.") from error
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(STARTER)
