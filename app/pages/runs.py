"""Runs: what came in and what was refused, how far labels have come, and how the monitor's runs ended."""

import shlex
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from html import escape

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from app.context import Context, fetch, follow
from app.listing import Listing, Pager, row, table
from app.numbers import MARKS, MISSING, VERDICT_COLOURS, count, day, light, moment, number
from app.pages.refused import Refused
from app.states import error_card, first_steps, markup, waiting
from app.views.coverage import coverage, lag
from storage.batches import StoredBatch, batches
from storage.database import Database
from storage.findings import runs
from storage.queries import Filter, outcomes_by_day
from storage.records import Run, Verdict

ROWS = 8
WIDTH = 420
REFRESH_SECONDS = 60
SIDE = {"border-left": "1px solid rgba(128, 136, 144, 0.3)"}
OUTCOMES = {
    "done": Verdict.OK,
    "running": Verdict.INSUFFICIENT,
    "interrupted": Verdict.WARNING,
    "failed": Verdict.CRITICAL,
}
RUN_HEADINGS = (
    ("Window", ""), ("Started", ""), ("Duration", "dm-number dm-spare"), ("Outcome", ""),
    ("Predictions", "dm-number"), ("Findings", "dm-number"), ("Message", "dm-long"),
)  # fmt: skip
BATCH_HEADINGS = (
    ("Received", ""), ("Source", ""), ("Kind", "dm-spare"), ("Rows", "dm-number"), ("Accepted", "dm-number"),
    ("Replaced", "dm-number"), ("Unchanged", "dm-number dm-spare"), ("Refused", "dm-number"),
    ("Outside regions", "dm-number dm-spare"), ("Repaired", "dm-number dm-spare"),
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """One page of runs and one of batches, each with one more to tell whether more follow; sums by day."""

    runs: list[Run]
    batches: list[StoredBatch]
    days: pd.DataFrame


def read_runs(database: Database, model: str, run_start: int, batch_start: int) -> Known:
    return Known(
        runs(database, model, ROWS + 1, run_start),
        batches(database, model, ROWS + 1, batch_start),
        outcomes_by_day(database, Filter(model)),
    )


class Runs:
    """Coverage on top, batches and runs below it, and what is chosen beside them."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.known: Known | None = None
        self.model: str | None = None
        self.trouble = pn.Column(sizing_mode="stretch_width", margin=0)
        self.coverage_words = markup(title("Coverage", ""), margin=(8, 10, 0, 10))
        self.coverage = pn.Column(waiting(120), sizing_mode="stretch_width", margin=0)
        self.batches, self.runs = Listing(margin=(0, 6)), Listing(margin=(0, 6))
        self.batch_pager, self.run_pager = Pager(ROWS, self.refresh), Pager(ROWS, self.refresh)
        self.refused = Refused(context)
        self.place = pn.Column(sizing_mode="stretch_width", margin=0)
        self.side = pn.Column(sizing_mode="stretch_height", width=WIDTH, scroll="y-auto", margin=0, visible=False)
        self.batches.param.watch(self.choose_batch, "chosen")
        self.runs.param.watch(self.choose_run, "chosen")

    def view(self) -> pn.viewable.Viewable:
        close = pmui.IconButton(icon="close", size="small", description="Close", margin=(4, 4, 0, 0))
        close.on_click(lambda _: self.close())
        self.side.styles = SIDE
        self.side.objects = [
            pn.Row(pn.Spacer(sizing_mode="stretch_width"), close, sizing_mode="stretch_width", margin=0),
            self.place,
        ]
        left = pn.Column(
            self.trouble,
            self.coverage_words,
            self.coverage,
            markup(
                title("Batches", "files and requests that came in; choose one for its refused rows"),
                margin=(8, 10, 2, 10),
            ),
            self.batches,
            self.batch_pager.view,
            markup(title("Runs of the monitor", "newest first; choose one for its message"), margin=(10, 10, 2, 10)),
            self.runs,
            self.run_pager.view,
            sizing_mode="stretch_both",
            scroll="y-auto",
            margin=0,
        )
        return pn.Row(left, self.side, sizing_mode="stretch_both", margin=0)

    async def refresh(self) -> None:
        model = self.context.selection.model
        if model != self.model:
            self.model = model
            self.known = None
            self.run_pager.start = self.batch_pager.start = 0
            self.close()
        before = self.known
        known = await fetch(read_runs, self.context.database, model, self.run_pager.start, self.batch_pager.start)
        self.known = known
        self.trouble.objects = []
        if before is None or not before.days.equals(known.days):
            self.coverage_words.object = title("Coverage", f"predictions, blue: labelled; {lag(known.days)}")
            self.coverage.objects = [chart_of(known.days) if len(known.days) else first_steps(model)]
        self.batches.table = batch_table(known.batches[:ROWS])
        self.batch_pager.show(len(known.batches[:ROWS]), more=len(known.batches) > ROWS)
        self.runs.table = run_table(known.runs[:ROWS])
        self.run_pager.show(len(known.runs[:ROWS]), more=len(known.runs) > ROWS)

    def failed(self, error: Exception) -> None:
        self.trouble.objects = [error_card(error)]

    def close(self) -> None:
        self.side.visible = False
        self.batches.chosen = self.runs.chosen = ""

    def choose_batch(self, event: param.parameterized.Event) -> None:
        if event.new and self.known is not None:
            self.runs.chosen = ""
            batch = next(batch for batch in self.known.batches if batch.id == event.new)
            self.place.objects = [self.refused.place]
            self.side.visible = True
            pn.state.execute(partial(self.refused.open, batch))

    def choose_run(self, event: param.parameterized.Event) -> None:
        if event.new and self.known is not None:
            self.batches.chosen = ""
            run = next(run for run in self.known.runs if run.id == event.new)
            self.place.objects = [markup(run_words(run), margin=(0, 10)), self.look(run)]
            self.side.visible = True

    def look(self, run: Run) -> pmui.Button:
        button = pmui.Button(label="Open the window", icon="open_in_new", size="small", margin=(8, 10))
        days = {"start": run.window_start.date(), "end": run.window_end.date()}
        button.on_click(lambda _: self.context.selection.param.update(page="explore", **days))
        return button


def title(text: str, hint: str) -> str:
    return f'<div class="dm-title">{escape(text)}<small>{escape(hint)}</small></div>'


def chart_of(days: pd.DataFrame) -> pn.pane.HoloViews:
    return pn.pane.HoloViews(coverage(days), sizing_mode="stretch_width", margin=(0, 4))


def run_table(found: list[Run]) -> str:
    if not found:
        return "<p class=\"dm-words\"><span>No run yet. 'driftmap monitor' makes one.</span></p>"
    return table(
        RUN_HEADINGS,
        [
            row(
                run.id,
                zip(
                    (
                        window(run), moment(run.started_at), duration(run), outcome(run), count(run.predictions),
                        count(run.findings), escape(run.message),
                    ),
                    (kind for _, kind in RUN_HEADINGS),
                    strict=True,
                ),
            )
            for run in found
        ],
    )  # fmt: skip


def batch_table(found: list[StoredBatch]) -> str:
    if not found:
        return '<p class="dm-words"><span>Nothing has come in yet.</span></p>'
    return table(
        BATCH_HEADINGS,
        [
            row(
                batch.id,
                zip(
                    (
                        moment(batch.received_at), escape(batch.source), escape(batch.kind), count(batch.rows),
                        count(batch.accepted), few(batch.replaced), few(batch.unchanged), refused(batch),
                        few(batch.outside_regions), few(batch.repaired),
                    ),
                    (kind for _, kind in BATCH_HEADINGS),
                    strict=True,
                ),
            )
            for batch in found
        ],
    )  # fmt: skip


def few(n: int) -> str:
    """A number that is mostly 0, so that the others stand out."""
    return count(n) if n else light("0")


def refused(batch: StoredBatch) -> str:
    if not batch.refused:
        return few(0)
    # Nothing of it arrived: worse than a few bad rows.
    verdict = Verdict.CRITICAL if batch.refused == batch.rows else Verdict.WARNING
    return f"{shape(verdict)} {count(batch.refused)}"


def window(run: Run) -> str:
    """The days of a run's window: first – last."""
    return f"{day(run.window_start)} – {day(run.window_end - timedelta(days=1))}"


def duration(run: Run) -> str:
    if run.finished_at is None:
        return MISSING
    seconds = (run.finished_at - run.started_at).total_seconds()
    return f"{number(seconds)} s" if seconds < 120 else f"{number(seconds / 60)} min"


def outcome(run: Run) -> str:
    """How a run ended, as HTML: shape, colour and word."""
    return f"{shape(OUTCOMES.get(run.outcome, Verdict.WARNING))} {escape(run.outcome)}"


def shape(verdict: Verdict) -> str:
    return f'<span style="color:{VERDICT_COLOURS[verdict]}">{MARKS[verdict]}</span>'


def run_words(run: Run) -> str:
    """A run in words and, where it did not end well, what to do."""
    message = f'<p class="dm-message">{escape(run.message)}</p>' if run.message else ""
    again = ""
    if run.outcome in ("failed", "interrupted"):
        command = f"driftmap monitor --model {shlex.quote(run.model)} --at {day(run.window_end)}"
        first = "Put right what it says, then run the window again." if run.message else "Run the window again."
        if run.outcome == "interrupted":
            first = "Run the window again."
        again = f'<h3>What to do</h3><p>{first}</p><div class="dm-command"><code>{escape(command)}</code></div>'
    return (
        f'<div class="dm-detail"><h2>{window(run)}</h2>'
        f"<div>{outcome(run)} {light(f'· {duration(run)} · started {moment(run.started_at)}')}</div>"
        f"{message}<p>{count(run.predictions)} predictions, {count(run.findings)} findings</p>{again}"
        f'<p class="dm-quiet">Model {escape(run.model)} · run {escape(run.id)}</p></div>'
    )


def page(context: Context) -> pn.viewable.Viewable:
    shown = Runs(context)

    async def look_again() -> None:
        if context.selection.page == "runs":
            await shown.refresh()

    follow(context, "runs", ["page", "model"], shown.refresh, shown.failed)
    pn.state.add_periodic_callback(lambda: pn.state.execute(look_again), period=REFRESH_SECONDS * 1000)
    return shown.view()
