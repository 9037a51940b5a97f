"""Alerts: what is wrong, where and since when, and the evidence behind each."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import panel as pn
import panel_material_ui as pmui

from app.context import Context, fetch, follow
from app.listing import Listing, Pager, row, table
from app.numbers import count, day, figure, mark, moment, number
from app.pages.alert_detail import Detail
from app.states import empty_state, error_card, markup, waiting
from monitoring.alerts import metric_name
from storage.alerts import alerts
from storage.catalog import registered_models
from storage.database import Database
from storage.errors import NotFoundError
from storage.findings import runs
from storage.records import Alert, Run, Verdict
from storage.regions import region_set

ROWS = 50
REFRESH_SECONDS = 60
ANY = "all"
STATES = {"Open": "open", "Closed": "closed", "All": ANY}


@dataclass(frozen=True)
class Known:
    """All alerts, and where they are: the names of the parents by model and region, the outermost first."""

    alerts: list[Alert]
    parents: dict[tuple[str, str], str]
    last_run: Run | None


def read_alerts(database: Database) -> Known:
    found = alerts(database)
    parents: dict[tuple[str, str], str] = {}
    sets = {model.name: model.regions for model in registered_models(database)}
    for model in {alert.model for alert in found}:
        name = sets.get(model)
        if name is None:
            continue
        regions = region_set(database, name)
        for region in {alert.region for alert in found if alert.model == model and alert.region is not None}:
            try:
                parents[model, region] = " › ".join(parent.name for parent in regions.ancestors(region))
            except NotFoundError:  # the set was replaced since
                continue
    return Known(found, parents, next(iter(runs(database, limit=1)), None))


class Alerts:
    """The list with its filters, and the alert that is chosen beside it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.known: Known | None = None
        self.state = pmui.RadioButtonGroup(options=STATES, value="open", size="small", margin=(10, 6))
        self.rule = pmui.Select(label="Rule", options=[ANY], size="small", width=150, margin=(8, 6))
        self.model = pmui.Select(label="Model", options=[ANY], size="small", width=150, margin=(8, 6))
        self.text = pmui.TextInput(
            label="Search", placeholder="region, metric, rule", size="small", width=180, margin=(8, 6)
        )
        self.words = markup("", margin=(4, 10))
        self.listing = Listing(margin=(0, 6))
        self.pager = Pager(ROWS, self.show)
        self.place = pn.Column(waiting(), sizing_mode="stretch_width", margin=0)
        self.detail = Detail(context)
        for widget in (self.state, self.rule, self.model):
            widget.param.watch(self.filtered, "value")
        self.text.param.watch(self.filtered, "value_input")
        self.listing.param.watch(lambda event: context.selection.param.update(alert=event.new or None), "chosen")

    def view(self) -> pn.viewable.Viewable:
        filters = pn.Row(self.state, self.rule, self.model, self.text, sizing_mode="stretch_width", margin=0)
        left = pn.Column(
            filters, self.words, self.place, self.pager.view, sizing_mode="stretch_both", scroll="y-auto", margin=0
        )
        return pn.Row(left, self.detail.view, sizing_mode="stretch_both", margin=0)

    def filtered(self, _: object) -> None:
        self.pager.start = 0
        pn.state.execute(self.show)

    async def refresh(self) -> None:
        """Read what there is now."""
        known = await fetch(read_alerts, self.context.database)
        first = self.known is None
        self.known = known
        chosen = next((alert for alert in known.alerts if alert.id == self.context.selection.alert), None)
        if first and chosen is not None and chosen.state != "open":
            self.state.value = ANY  # so that what the address opens is in the list
        self.rule.options = [ANY, *sorted({alert.rule for alert in known.alerts})]
        self.model.options = [ANY, *sorted({alert.model for alert in known.alerts})]
        self.model.visible = len(self.model.options) > 2
        await self.show()

    async def show(self) -> None:
        """Show what the filters leave."""
        if self.known is None:
            return
        kept = [alert for alert in self.known.alerts if self.keeps(alert)]
        shown = kept[self.pager.start : self.pager.start + ROWS]
        self.pager.show(len(shown), more=len(kept) > self.pager.start + ROWS, total=len(kept))
        self.words.object = f'<div class="dm-words"><b>{summary(kept)}</b></div>' if kept else ""
        if kept:
            self.listing.table = self.lines(shown)
            self.listing.chosen = self.context.selection.alert or ""
            self.place.objects = [self.listing]
        else:
            self.place.objects = [self.nothing()]

    def keeps(self, alert: Alert) -> bool:
        words = self.text.value_input.casefold().split()
        text = self.searched(alert).casefold()
        return (
            self.state.value in (ANY, alert.state)
            and self.rule.value in (ANY, alert.rule)
            and self.model.value in (ANY, alert.model)
            and all(word in text or word == alert.id for word in words)
        )

    def searched(self, alert: Alert) -> str:
        parts = (metric_name(alert.metric), alert.region_name, alert.region, self.parent(alert), alert.rule)
        return " ".join(part for part in (*parts, alert.model) if part)

    def parent(self, alert: Alert) -> str:
        assert self.known is not None
        return self.known.parents.get((alert.model, alert.region), "") if alert.region is not None else ""

    def lines(self, shown: Sequence[Alert]) -> str:
        """One line for each alert, with the columns that tell them apart."""
        columns: list[tuple[str, str, Callable[[Alert], str]]] = [
            ("", "", lambda alert: mark(alert.severity, words=False)),
            ("What", "", lambda alert: escape(metric_name(alert.metric))),
            ("Where", "", lambda alert: place(alert, self.parent(alert))),
            ("How bad", "dm-figure", lambda alert: figure(alert.value, alert.lower, alert.upper, alert.n)),
            ("Reference", "dm-number dm-spare2", lambda alert: number(alert.reference)),
            ("Since", "", lambda alert: day(alert.since)),
            ("Rule", "dm-spare", lambda alert: escape(alert.rule)),
        ]
        if self.model.visible:
            columns.append(("Model", "dm-spare", lambda alert: escape(alert.model)))
        if self.state.value != "open":
            columns.append(("State", "", state))
        return table(
            [(heading, kind) for heading, kind, _ in columns],
            [row(alert.id, [(write(alert), kind) for _, kind, write in columns]) for alert in shown],
        )

    def nothing(self) -> pn.viewable.Viewable:
        """Stands in the place of the list where the filters leave nothing."""
        known = self.known
        assert known is not None
        narrowed = self.rule.value != ANY or self.model.value != ANY or bool(self.text.value_input.strip())
        if known.last_run is None:
            return empty_state("No run yet", "Alerts come from runs of the monitor. 'driftmap monitor' makes one.")
        if narrowed or self.state.value == "closed":
            return empty_state("No alert matches", "Choose fewer filters to see more.")
        return empty_state("Nothing is wrong.", since_when(known.alerts, known.last_run))


def place(alert: Alert, parent: str) -> str:
    """Where an alert is, as HTML: the region, and what it lies in in lighter type."""
    if alert.region is None:
        return "all regions"
    return escape(alert.region_name or alert.region) + (f" <small>{escape(parent)}</small>" if parent else "")


def state(alert: Alert) -> str:
    return f"closed {day(alert.closed_at)}" if alert.closed_at is not None else alert.state


def summary(shown: Sequence[Alert]) -> str:
    """How many alerts of each severity are open, and how many closed: `5 critical, 3 warning, 2 closed`."""
    numbers = Counter("closed" if alert.state == "closed" else alert.severity.value for alert in shown)
    kinds = (Verdict.CRITICAL.value, Verdict.WARNING.value, "closed")
    return ", ".join(f"{count(numbers[kind])} {kind}" for kind in kinds if numbers[kind])


def since_when(known: Sequence[Alert], last_run: Run) -> str:
    """Since when nothing is wrong, and how the last run ended."""
    ended = f"Last run {moment(last_run.started_at)}, {last_run.outcome}."
    closed = [alert.closed_at for alert in known if alert.closed_at is not None]
    return f"{ended} No alert is open since {moment(max(closed))}." if closed else f"{ended} No alert was ever open."


def page(context: Context) -> pn.viewable.Viewable:
    shown = Alerts(context)

    def failed(error: Exception) -> None:
        shown.place.objects = [error_card(error)]

    async def look_again() -> None:
        if context.selection.page == "alerts":
            await shown.refresh()

    follow(context, "alerts", ["page"], shown.refresh, failed)
    follow(context, "alerts", ["page", "alert"], shown.detail.refresh, shown.detail.failed)
    context.selection.param.watch(lambda event: shown.listing.param.update(chosen=event.new or ""), "alert")
    pn.state.add_periodic_callback(lambda: pn.state.execute(look_again), period=REFRESH_SECONDS * 1000)
    return shown.view()
