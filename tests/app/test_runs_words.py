"""What the page Runs says and draws, without a browser."""

import csv
import json
from dataclasses import replace
from datetime import datetime

import holoviews as hv
import pandas as pd
import pytest

from app.pages.refused import as_csv, as_json_lines, pairs, shortened
from app.pages.runs import duration, run_table, run_words
from app.views.coverage import coverage, lag, per_step
from storage.records import Run

RUN = Run(
    "r1", "my crops", datetime(2026, 3, 2), datetime(2026, 3, 9), datetime(2026, 3, 9, 6), datetime(2026, 3, 9, 6, 5),
    "failed", "disk <full>: free some space.", 0, 0,
)  # fmt: skip
ROWS = pd.DataFrame(
    {
        "row": [2, 5],
        "reason": ["unknown class", "no id"],
        "content": ['{"id": "é", "predicted": "<b>,\\"x\\""}', '{"id": null}'],
    }
)


def days(count: int, labelled: int) -> pd.DataFrame:
    first = pd.Timestamp("2026-03-04")  # a Wednesday
    return pd.DataFrame(
        {
            "day": pd.date_range(first, periods=count),
            "n": 10,
            "n_labelled": [5 if day < labelled else 0 for day in range(count)],
        }
    )


def test_a_failed_run_says_what_to_do() -> None:
    words = run_words(RUN)
    assert "disk &lt;full&gt;: free some space." in words
    assert "driftmap monitor --model &#x27;my crops&#x27; --at 2026-03-09" in words
    assert "What to do" not in run_words(replace(RUN, outcome="done"))


def test_durations_are_short() -> None:
    assert duration(RUN) == "5 min"
    assert duration(replace(RUN, finished_at=datetime(2026, 3, 9, 6, 0, 7))) == "7 s"
    assert duration(replace(RUN, finished_at=None)) == "–"


def test_without_runs_it_says_how_to_make_one() -> None:
    assert "driftmap monitor" in run_table([])


def test_refused_rows_as_files_hold_everything() -> None:
    table = list(csv.DictReader(as_csv(ROWS).decode().splitlines()))
    assert table[0] == {"row": "2", "reason": "unknown class", "id": "é", "predicted": '<b>,"x"'}
    assert table[1] == {"row": "5", "reason": "no id", "id": "", "predicted": ""}
    lines = [json.loads(line) for line in as_json_lines(ROWS).decode().splitlines()]
    assert lines[1] == {"row": 5, "reason": "no id", "content": {"id": None}}


def test_content_is_shown_as_text_and_cut_where_long() -> None:
    assert pairs('{"<i>": "<b>", "x": null}') == "<small>&lt;i&gt;</small> &lt;b&gt;, <small>x</small> <i>missing</i>"
    assert len(shortened("x" * 5000)) < 200


@pytest.mark.parametrize(("count", "step", "bars"), [(1, 1, 1), (60, 1, 60), (112, 7, 17), (700, 28, 26)])
def test_coverage_is_by_day_or_by_weeks_from_a_monday(count: int, step: int, bars: int) -> None:
    table, found = per_step(days(count, count))
    assert (found, len(table)) == (step, bars)
    assert table["n"].sum() == count * 10
    assert step == 1 or table["start"][0].weekday() == 0


def test_the_lag_of_labels_is_said_in_words() -> None:
    assert lag(days(20, 13)) == "32% labelled, up to 2026-03-16, 7 days behind the last prediction"
    assert lag(days(20, 20)) == "50% labelled, up to 2026-03-23"
    assert lag(days(20, 0)) == "no labels yet"
    assert lag(days(0, 0)) == ""


def test_coverage_is_drawn_even_of_nothing() -> None:
    hv.render(coverage(days(30, 10)))
    hv.render(coverage(days(0, 0)))
