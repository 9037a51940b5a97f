"""Spans of time and the windows they tile."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dateutil.relativedelta import relativedelta
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from storage.records import Window

UNITS = {"d": "days", "w": "weeks", "mo": "months", "y": "years"}


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time in whole days, weeks, months or years: 7d, 2w, 1mo, 1y."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Span":
        """The span that `text` says. Raises ValueError where it says none."""
        match = re.fullmatch(r"\s*([1-9][0-9]{0,3})\s*(d|w|mo|y)\s*", str(text))
        if match is None:
            raise ValueError(f"'{text}' is no span of time; write 7d, 2w, 1mo or 1y")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    def after(self, start: datetime, times: int = 1) -> datetime:
        """The moment `times` spans after `start` (before it where `times` is negative)."""
        return start + relativedelta(**{UNITS[self.unit]: self.count * times})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any) -> Span:
            return value if isinstance(value, Span) else cls.parse(value)

        return core_schema.no_info_plain_validator_function(read, serialization=core_schema.to_string_ser_schema())


def window_before(moment: datetime, span: Span) -> Window:
    """The last window of length `span` that had ended at the midnight (UTC) at or before `moment`."""
    end = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(span.after(end, -1), end)


def tile(start: datetime, end: datetime, span: Span) -> Iterator[Window]:
    """Windows of length `span` from `start`, as many as end at or before `end`."""
    count = 0
    while span.after(start, count + 1) <= end:
        yield Window(span.after(start, count), span.after(start, count + 1))
        count += 1
