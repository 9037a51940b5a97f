"""The pieces of a window hold each of its days once, and longer periods come before shorter ones."""

from collections import Counter
from datetime import date, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from storage.periods import DAY, Period, cover

dates = st.dates(date(2025, 11, 1), date(2027, 2, 1))
windows = st.none() | dates


@given(dates, st.integers(1, 500), windows, windows, st.sets(st.sampled_from(Period)))
def test_every_day_is_in_one_piece(
    first: date, days: int, start: date | None, end: date | None, kept: set[Period]
) -> None:
    span = first, first + days * DAY
    window = [None if day is None else datetime.combine(day, time()) for day in (start, end)]
    pieces = cover(*window, span, kept)
    held: Counter[date] = Counter()
    for piece in pieces:
        assert piece.first < piece.end
        if piece.period is Period.ALL:
            held.update(first + number * DAY for number in range(days))
            continue
        assert piece.period is None or piece.period in kept
        if piece.period is not None:
            assert piece.period.floor(piece.first) == piece.first
            assert piece.period.floor(piece.end) == piece.end
        held.update(piece.first + number * DAY for number in range((piece.end - piece.first).days))
    wanted = {
        day
        for day in (first + number * DAY for number in range(days))
        if (start is None or day >= start) and (end is None or day < end)
    }
    within = {day: times for day, times in held.items() if span[0] <= day < span[1]}
    assert within == dict.fromkeys(wanted, 1)
    if Period.DAY in kept:
        assert all(piece.period is not None for piece in pieces)


def test_a_long_window_is_mostly_months() -> None:
    span = date(2020, 1, 1), date(2026, 1, 1)
    pieces = cover(datetime(2020, 1, 20), datetime(2025, 6, 10), span, set(Period))
    assert Counter(piece.period for piece in pieces) == {Period.WEEK: 2, Period.MONTH: 1, Period.DAY: 3}
    assert sum((piece.end - piece.first).days for piece in pieces if piece.period is Period.DAY) < 14


def test_a_period_in_sql_starts_where_it_does_here() -> None:
    import duckdb

    for number in range(0, 800, 3):
        day = date(2025, 12, 1) + timedelta(days=number)
        for period in Period:
            sql = period.start_sql(f"TIMESTAMP '{day} 23:59:59'")
            assert duckdb.sql(f"SELECT {sql}").fetchone() == (period.floor(day),)
