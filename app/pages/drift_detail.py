"""One figure in one region: both distributions, and why the verdict is what it is."""

from html import escape

import panel as pn

from app.context import Context, fetch
from app.distributions import read_distribution
from app.linked import Linked, link
from app.numbers import MISSING, count, days, mark, number, strong
from app.states import error_card, waiting
from app.views.distribution import distribution_chart
from storage.records import Finding, Verdict

HEIGHT = 210


class Detail:
    """A place that shows the finding of drift it was last told to `show`."""

    def __init__(self, context: Context, page: str) -> None:
        self.context = context
        self.page = page
        self.view = pn.Column(sizing_mode="stretch_width", margin=0)
        self.shown: Finding | None = None

    def show(self, finding: Finding) -> None:
        """Show `finding`; its distributions follow."""
        self.shown = finding
        way = "" if self.page == "regions" else region_way(self.context, finding)
        self.view.objects = [Linked(self.context, reasons(finding) + way, margin=(2, 12)), waiting(HEIGHT)]
        pn.state.execute(self.draw)

    async def draw(self) -> None:
        finding = self.shown
        assert finding is not None
        try:
            found = await fetch(read_distribution, self.context.database, self.context.configuration, finding)
            if finding is not self.shown:
                return
            below: pn.viewable.Viewable = pn.pane.HoloViews(
                distribution_chart(found), height=HEIGHT, linked_axes=False, sizing_mode="stretch_width", margin=(0, 6)
            )
        except Exception as error:
            below = error_card(error)
        self.view.objects = [self.view[0], below]


def region_way(context: Context, finding: Finding) -> str:
    """The way to the region of `finding`, as HTML."""
    if finding.region is None:
        return ""
    href = escape(link(context.selection, page="regions", region=finding.region))
    return f'<div class="dm-words"><a href="{href}">{escape(finding.region_name or finding.region)} in full</a></div>'


def reasons(finding: Finding) -> str:
    """The verdict of a finding of drift, and the three reasons that led to it, as HTML."""
    details = finding.details
    where = escape(finding.region_name or "The whole")
    what = escape(finding.metric.removeprefix("drift:"))
    title = (
        f'<div class="dm-words"><b>{where}, {what}</b> {mark(finding.verdict)} '
        f"<span>{days(finding.window_start, finding.window_end)}</span></div>"
    )
    if finding.value is None or (finding.verdict == Verdict.INSUFFICIENT and details.get("reason")):
        return f'{title}<div class="dm-words"><span>{escape(str(details.get("reason") or "Not judged."))}</span></div>'
    least, usual, p = details["min_effect"], details.get("usual"), details.get("p_adjusted")
    rows = (
        ("Effect", strong(number(finding.value)), f"n {count(finding.n)}, reference {count(details['n_reference'])}"),
        (f"{tick(p is not None and p < 0.05)} evidence", p_value(p), "adjusted p below 0.05"),
        (f"{tick(finding.value >= least)} size", number(finding.value), f"at least {number(least)}"),
        (f"{tick(usual is None or finding.value > usual)} more than usual", number(finding.value),
         f"above {number(usual)}" if usual is not None else "not known what is usual"),
    )  # fmt: skip
    body = "".join(f"<tr><th>{name}</th><td>{value}</td><td>{rule}</td></tr>" for name, value, rule in rows)
    return f'{title}<table class="dm-figures dm-reasons"><tbody>{body}</tbody></table>'


def tick(met: bool) -> str:
    return '<span title="met">✓</span>' if met else '<span title="not met">✗</span>'


def p_value(p: float | None) -> str:
    if p is None:
        return MISSING
    return "p &lt; 0.0001" if p < 0.0001 else f"p {number(p)}"
