"""One alert beside the list: in words, over time, its history, and who was told."""

from dataclasses import dataclass
from html import escape
from urllib.parse import parse_qsl, urlsplit

import panel as pn
import panel_material_ui as pmui

from app.context import Context, fetch
from app.numbers import MARKS, VERDICT_COLOURS, light, mark, moment
from app.selection import Selection, read_text
from app.states import empty_state, error_card, markup, waiting
from app.views.alert_trend import alert_trend
from monitoring.alerts import metric_name
from storage.alerts import AlertEvent, Delivery, alert_events, deliveries, stored_alert
from storage.database import Database
from storage.errors import NotFoundError
from storage.findings import findings
from storage.records import Alert, Finding, Verdict

WIDTH = 380
SIDE = {"border-left": "1px solid rgba(128, 136, 144, 0.3)"}
LATEST = 50  # events shown
EVENT_MARKS = {"closed": Verdict.OK, "updated": Verdict.INSUFFICIENT}
DELIVERY_MARKS = {"sent": Verdict.OK, "waiting": Verdict.INSUFFICIENT, "failed": Verdict.CRITICAL}
COPY = (
    "const done = () => { this.textContent = 'Copied' };"
    " const ask = () => prompt('Copy this link', this.dataset.link);"
    " navigator.clipboard ? navigator.clipboard.writeText(this.dataset.link).then(done, ask) : ask()"
)


@dataclass(frozen=True)
class Evidence:
    """An alert with what led to it and what came of it."""

    alert: Alert
    events: list[AlertEvent]
    deliveries: list[Delivery]
    findings: list[Finding]


def read_evidence(database: Database, alert: str) -> Evidence:
    """Raises NotFoundError where there is no alert with the id `alert`."""
    found = stored_alert(database, alert)
    judged = findings(database, found.model, region=found.region, metric=found.metric)
    return Evidence(
        found,
        alert_events(database, alert),
        deliveries(database, alert=alert),
        [finding for finding in judged if finding.version == found.version],
    )


class Detail:
    """The panel beside the list; hidden while no alert is chosen."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.shown: Evidence | None = None
        self.place = pn.Column(sizing_mode="stretch_width", margin=0)
        close = pmui.IconButton(icon="close", size="small", description="Close", margin=(4, 4, 0, 0))
        close.on_click(lambda _: context.selection.param.update(alert=None))
        self.view = pn.Column(
            pn.Row(pn.Spacer(sizing_mode="stretch_width"), close, sizing_mode="stretch_width", margin=0),
            self.place,
            width=WIDTH,
            sizing_mode="stretch_height",
            scroll="y-auto",
            margin=0,
            visible=False,
            styles=SIDE,
        )

    async def refresh(self) -> None:
        chosen = self.context.selection.alert
        self.view.visible = chosen is not None
        if chosen is None:
            self.shown = None
            return
        if self.shown is None or self.shown.alert.id != chosen:
            self.place.objects = [waiting(300)]
        try:
            found = await fetch(read_evidence, self.context.database, chosen)
        except NotFoundError:
            self.shown = None
            self.place.objects = [empty_state("No such alert", "It is not in this database; choose one in the list.")]
            return
        if found != self.shown:
            self.shown = found
            self.place.objects = self.parts(found)

    def failed(self, error: Exception) -> None:
        self.place.objects = [error_card(error)]

    def parts(self, found: Evidence) -> list[pn.viewable.Viewable]:
        alert = found.alert
        go = pmui.Button(label="Open the view", icon="open_in_new", size="small", margin=(4, 10))
        go.on_click(lambda _: open_view(self.context.selection, alert.url))
        copy = (
            f'<button type="button" class="dm-link" data-link="{escape(alert.url)}" onclick="{COPY}">Copy link</button>'
        )
        parts = [
            markup(heading(alert), margin=(0, 10)),
            pn.Row(go, markup(copy, sizing_mode=None, margin=(4, 0)), margin=0),
        ]
        if found.findings:
            title = (
                '<div class="dm-title">Windows judged<small>95% interval; dashed: reference; red: open</small></div>'
            )
            parts += [
                markup(title, margin=(8, 10, 0, 10)),
                pn.pane.HoloViews(alert_trend(alert, found.findings), sizing_mode="stretch_width", margin=(0, 4)),
            ]
        parts.append(
            markup(
                f'<div class="dm-detail">{history(found.events)}{told(found.deliveries)}</div>', margin=(0, 10, 12, 10)
            )
        )
        return parts


def open_view(selection: Selection, url: str) -> None:
    """Show what the link of an alert shows, without loading the page again."""
    keys = read_text(dict(parse_qsl(urlsplit(url).query)))
    fresh = dict.fromkeys(("version", "start", "end", "region", "confidence", "box", "view", "alert"))
    selection.param.update(**{**fresh, "classes": [], **keys})


def heading(alert: Alert) -> str:
    where = escape(alert.region_name or alert.region) if alert.region is not None else "all regions"
    state = f"open since {moment(alert.opened_at)}" if alert.closed_at is None else f"closed {moment(alert.closed_at)}"
    return (
        f'<div class="dm-detail"><h2>{escape(metric_name(alert.metric))}, {where}</h2>'
        f"<div>{mark(alert.severity)} {light(f'· {state}')}</div>"
        f'<p class="dm-message">{escape(alert.message)}</p>'
        f'<p class="dm-quiet">Rule {escape(alert.rule)} · model {escape(alert.model)}'
        f" · version {escape(alert.version)} · alert {escape(alert.id)}</p></div>"
    )


def history(events: list[AlertEvent]) -> str:
    """What happened, the latest first, as HTML."""
    items = "".join(
        f"<li><i>{shape(EVENT_MARKS.get(event.event, Verdict.CRITICAL))}</i>"
        f"<b>{escape(event.event)}</b> <small>{moment(event.happened_at)}, {escape(event.actor)}</small>"
        f"<br>{escape(event.detail)}</li>"
        for event in reversed(events[-LATEST:])
    )
    more = f'<p class="dm-quiet">and {len(events) - LATEST} before</p>' if len(events) > LATEST else ""
    return f'<h3>History</h3><ol class="dm-timeline">{items}</ol>{more}'


def told(sent: list[Delivery]) -> str:
    """Who was told and how that went, as HTML."""
    if not sent:
        return '<h3>Messages</h3><p class="dm-quiet">Nobody was told: the rule has no channel.</p>'
    rows = "".join(
        f"<tr><td>{escape(each.channel)}</td><td>{escape(each.event)}</td>"
        f"<td>{shape(DELIVERY_MARKS.get(each.state, Verdict.WARNING))} {escape(each.state)}</td>"
        f"<td>{each.attempts}</td><td>{moment(each.attempted_at)}</td></tr>"
        + (f'<tr><td colspan="5"><small>{escape(each.error)}</small></td></tr>' if each.error else "")
        for each in sent
    )
    return (
        '<h3>Messages</h3><table class="dm-plain"><thead><tr><th>Channel</th><th>About</th><th>State</th>'
        f"<th>Attempts</th><th>Last</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def shape(verdict: Verdict) -> str:
    return f'<span style="color:{VERDICT_COLOURS[verdict]}">{MARKS[verdict]}</span>'
