"""CSV and TSV files, plain or compressed with gzip."""

import codecs
import csv
import glob
import gzip
import re
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import duckdb

from storage.errors import InvalidFileError
from storage.readers.source import Source, file_hash

_SEPARATORS = ",;\t|"


def read_delimited(connection: duckdb.DuckDBPyConnection, path: Path, crs: str | None) -> Source:
    """The rows of a delimited text file in UTF-8; the first line names the columns.

    Nothing is guessed but the separator (comma, semicolon, tab or bar, by the first line): the types
    and the header that DuckDB would guess change with the rows it happens to look at.
    """
    _check_text(path)
    names, separator = _header(path)
    relation = connection.read_csv(
        glob.escape(str(path)),
        auto_detect=False,
        header=True,
        columns=dict.fromkeys(names, "VARCHAR"),
        sep=separator,
        quotechar='"',
        escapechar='"',
        compression="gzip" if path.name.lower().endswith(".gz") else "none",
        hive_partitioning=False,
    )
    try:
        relation.aggregate("count(*)").fetchall()  # so that a broken line is found before any row goes in
    except duckdb.Error as error:
        raise InvalidFileError(f"{path}: {_explanation(str(error), separator)}") from error
    return Source(relation, has_geometry=False, repaired=0, content_hash=file_hash(path))


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb"))


def _check_text(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with _open(path) as stream:
            while block := stream.read(1 << 20):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InvalidFileError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except (EOFError, zlib.error) as error:
        raise InvalidFileError(f"{path}: the compressed file is damaged; make it again") from error


def _header(path: Path) -> tuple[list[str], str]:
    with _open(path) as stream, codecs.getreader("utf-8-sig")(stream) as text:
        first = text.readline()
        separator = max(_SEPARATORS, key=re.sub('"[^"]*"', "", first).count)
        try:
            names = [name.strip() for name in next(csv.reader([first], delimiter=separator, strict=True), [])]
        except csv.Error as error:
            raise InvalidFileError(f"{path}: line 1: column names are badly quoted; correct them") from error
    if not any(names):
        raise InvalidFileError(f"{path}: the first line is empty; it must name the columns")
    # A table written with its row numbers, as pandas does by default, has a column without a name.
    names = [name or f"column_{number}" for number, name in enumerate(names, start=1)]
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise InvalidFileError(f"{path}: line 1: the column '{name}' is there twice; rename one")
        seen.add(name.lower())
    return names, separator


def _explanation(message: str, separator: str) -> str:
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"line {line[1]}: " if line else ""
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    if counts:
        kind = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}[separator]
        return (
            f"{where}{counts[2]} values where the first line names {counts[1]} columns "
            f"(separated by {kind}); correct the line"
        )
    if "Maximum line size" in message:
        return f"{where}the line is longer than 2 MB; check its quotes, or leave out that column"
    if "quote" in message.split("Possible")[0]:
        return f'{where}a value is badly quoted; double the quotes inside a quoted value ("")'
    return f"{where}not a well-formed table; check its quotes and that all line ends are alike"
