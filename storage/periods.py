"""Levels of time: roll-ups are kept by day, week, month and for all time, so that a long window sums few rows."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum

EPOCH = date(1970, 1, 1)
DAY = timedelta(days=1)


class Period(IntEnum):
    """A level of time, as it is stored."""

    ALL = 0
    MONTH = 1
    WEEK = 2
    DAY = 3

    @property
    def days(self) -> int:
        """About how many days it lasts."""
        return {Period.ALL: 10**9, Period.MONTH: 30, Period.WEEK: 7, Period.DAY: 1}[self]

    def start_sql(self, time: str) -> str:
        """SQL for the first day of the period that holds the timestamp or date `time`."""
        if self is Period.ALL:
            return f"DATE '{EPOCH}'"
        return f"CAST(date_trunc('{self.name.lower()}', {time}) AS DATE)"

    def floor(self, day: date) -> date:
        """The first day of the period that holds `day`."""
        if self is Period.MONTH:
            return day.replace(day=1)
        if self is Period.WEEK:
            return day - day.weekday() * DAY
        return day if self is Period.DAY else EPOCH

    def ceiling(self, day: date) -> date:
        """The first day from `day` on with which a period starts."""
        first = self.floor(day)
        if first == day:
            return day
        return (first + 32 * DAY).replace(day=1) if self is Period.MONTH else first + 7 * DAY


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a window, first ≤ day < end: whole periods; or, where `period` is None, days of which rows are read."""

    period: Period | None
    first: date
    end: date


def cover(
    start: datetime | None, end: datetime | None, span: tuple[date, date], kept: Collection[Period]
) -> list[Piece]:
    """Pieces that hold every day of a window once: periods of `kept`, the longest first, and rows for the rest.

    The window runs from midnight `start` to before midnight `end`; `span` holds every prediction, from its first
    day to the day after its last, so a period that reaches beyond the span is whole for a window that does.
    """
    open_left = start is None or start.date() <= span[0]
    open_right = end is None or end.date() >= span[1]
    if open_left and open_right and Period.ALL in kept:
        return [Piece(Period.ALL, EPOCH, EPOCH + DAY)]
    first = span[0] if open_left else start.date()  # type: ignore[union-attr]
    last = span[1] if open_right else end.date()  # type: ignore[union-attr]
    periods = [period for period in (Period.MONTH, Period.WEEK, Period.DAY) if period in kept]
    return list(_fill(first, last, periods, open_left, open_right))


def _fill(first: date, end: date, periods: list[Period], open_left: bool, open_right: bool) -> list[Piece]:
    if first >= end:
        return []
    for place, period in enumerate(periods):
        inner_first = period.floor(first) if open_left else period.ceiling(first)
        inner_end = period.ceiling(end) if open_right else period.floor(end)
        if inner_first < inner_end:
            finer = periods[place + 1 :]
            before = _fill(first, inner_first, finer, open_left, False)
            after = _fill(inner_end, end, finer, False, open_right)
            return [*before, Piece(period, inner_first, inner_end), *after]
    return [Piece(None, first, end)]
