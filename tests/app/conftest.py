from pathlib import Path

import pytest

from tests.app.small import write_small


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with driftmap.yaml, regions.geojson, predictions.csv and labels.csv."""
    return write_small(tmp_path)
