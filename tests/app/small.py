"""A small workspace in a folder: one model, two regions with a parent, twenty predictions, their labels."""

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from fastapi import FastAPI

T = TypeVar("T")
START = datetime(2026, 3, 2)
CONFIGURATION = {
    "regions": {"districts": {"path": "regions.geojson"}},
    "models": {
        "crops": {
            "classes": ["wheat", "rice"],
            "features": {"ndvi": "numeric"},
            "regions": "districts",
            "reference": {"from": "2026-03-02", "to": "2026-03-08"},
            "schedule": None,
        }
    },
}


def square(west: float, east: float) -> dict:
    ring = [[west, 40], [east, 40], [east, 41], [west, 41], [west, 40]]
    return {"type": "Polygon", "coordinates": [ring]}


def predictions(rows: int = 20) -> list[dict]:
    """Predictions of two weeks, the even ones in the western district, the odd ones in the eastern."""
    return [
        {
            "id": f"s{row}",
            "time": (START + timedelta(hours=16 * row)).isoformat(),
            "lon": 60.5 + row % 2,
            "lat": 40.1 + row * 0.04,
            "predicted": "wheat" if row % 3 else "rice",
            "confidence": 0.9,
            "ndvi": row / 20,
        }
        for row in range(rows)
    ]


def labels(rows: int = 20) -> list[dict]:
    return [{"id": f"s{row}", "label": "wheat"} for row in range(rows)]


def csv(records: list[dict]) -> str:
    lines = [",".join(records[0]), *(",".join(str(value) for value in record.values()) for record in records)]
    return "\n".join(lines) + "\n"


def write_small(folder: Path) -> Path:
    """Write driftmap.yaml, regions.geojson, predictions.csv and labels.csv into `folder`."""
    shapes = [
        ("all", "All", None, square(60, 62)),
        ("west", "West", "all", square(60, 61)),
        ("east", "East", "all", square(61, 62)),
    ]
    features = [
        {
            "type": "Feature",
            "properties": {"region_id": key, "name": name, "parent_id": parent},
            "geometry": shape,
        }
        for key, name, parent, shape in shapes
    ]
    regions = json.dumps({"type": "FeatureCollection", "features": features})
    (folder / "driftmap.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    (folder / "regions.geojson").write_text(regions)
    (folder / "predictions.csv").write_text(csv(predictions()))
    (folder / "labels.csv").write_text(csv(labels()))
    return folder


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """What `coroutine` returns, run in a thread of its own: this one may have Playwright's running loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


class Client:
    """Asks an application directly, without a server."""

    def __init__(self, api: FastAPI) -> None:
        self.api = api

    def get(self, address: str, **options: Any) -> httpx.Response:
        return run_apart(self._ask("GET", address, options))

    def post(self, address: str, **options: Any) -> httpx.Response:
        return run_apart(self._ask("POST", address, options))

    async def _ask(self, method: str, address: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.api)
        async with httpx.AsyncClient(transport=transport, base_url="http://driftmap") as client:
            return await client.request(method, address, **options)
