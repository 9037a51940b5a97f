"""How figures, times and verdicts are written, the same on every page."""

import math
from datetime import date, datetime, timedelta
from html import escape

from storage.records import Verdict

MARKS = {Verdict.OK: "●", Verdict.WARNING: "▲", Verdict.CRITICAL: "■", Verdict.INSUFFICIENT: "◌"}
# Legible on both the light and the dark background.
VERDICT_COLOURS = {
    Verdict.OK: "#4c9f70",
    Verdict.WARNING: "#d98e04",
    Verdict.CRITICAL: "#d9363e",
    Verdict.INSUFFICIENT: "#8a8f98",
}
MISSING = "–"

# Inline, because every pane and every table has a style sheet of its own.
STRONG = "font-weight:600;font-variant-numeric:tabular-nums"
LIGHT = "opacity:.65;font-variant-numeric:tabular-nums;white-space:pre"


def number(value: float | int | None) -> str:
    """`value` with three significant digits and no exponent; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 6)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def count(value: int) -> str:
    """A number of rows in full: 12,345."""
    return f"{int(value):,}"


def interval(lower: float | None, upper: float | None) -> str:
    """An interval: `0.38–0.49`; empty where there is none."""
    if lower is None or upper is None or not (math.isfinite(lower) and math.isfinite(upper)):
        return ""
    return f"{number(lower)}{'–' if lower >= 0 else ' to '}{number(upper)}"


def figure_text(value: float | None, lower: float | None, upper: float | None, n: int) -> str:
    """A figure in one line of plain text: `0.44  0.38–0.49  n 305`."""
    return "  ".join(part for part in (number(value), interval(lower, upper), f"n {count(n)}") if part)


def figure(value: float | None, lower: float | None, upper: float | None, n: int) -> str:
    """The same as HTML, with the interval and n in lighter type."""
    rest = "  ".join(part for part in (interval(lower, upper), f"n {count(n)}") if part)
    return f"{strong(number(value))}&ensp;{light(rest)}"


def strong(text: str) -> str:
    """`text` as a figure stands out, as HTML."""
    return f'<span style="{STRONG}">{text}</span>'


def light(text: str) -> str:
    """`text` in lighter type, as HTML."""
    return f'<span style="{LIGHT}">{text}</span>'


def mark(verdict: Verdict, words: bool = True) -> str:
    """A verdict as HTML: its shape, its colour and, with `words`, its name."""
    name = f" {escape(verdict.value)}" if words else ""
    return (
        f'<span style="color:{VERDICT_COLOURS[verdict]}" title="{escape(verdict.value)}">{MARKS[verdict]}</span>{name}'
    )


def day(moment: date | datetime) -> str:
    """A day: 2018-05-01."""
    return (moment.date() if isinstance(moment, datetime) else moment).isoformat()


def moment(when: datetime | None) -> str:
    """A moment to the minute, in UTC: `2018-05-01 06:00 UTC`; a dash where there is none."""
    return MISSING if when is None else f"{when:%Y-%m-%d %H:%M} UTC"


def days(start: datetime, end: datetime) -> str:
    """Whole days from `start` to before `end`: `13–19 Apr 2026`."""
    last = end - timedelta(days=1)
    if start.date() == last.date():
        return f"{last.day} {last:%b %Y}"
    if (start.year, start.month) == (last.year, last.month):
        return f"{start.day}–{last.day} {last:%b %Y}"
    year = "" if start.year == last.year else f" {start.year}"
    return f"{start.day} {start:%b}{year} – {last.day} {last:%b %Y}"
