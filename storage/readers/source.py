"""What every reader returns."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import duckdb


@dataclass(frozen=True)
class Source:
    """The rows of one file or table, not yet checked.

    Where `has_geometry`, the geometry column is replaced by `__lon` and `__lat` (degrees, EPSG:4326;
    NULL where the geometry is missing or empty) and `__area_m2` (geodesic; NULL unless a polygon).
    `repaired` counts the polygons that were invalid. `content_hash` is the blake2b of the bytes read.
    """

    relation: duckdb.DuckDBPyRelation
    has_geometry: bool
    repaired: int
    content_hash: str


def file_hash(path: Path) -> str:
    """The blake2b (128 bits, hexadecimal) of a file's bytes."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
