"""Evidently's report of a window, beside what driftmap found."""

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from app.numbers import count, days, mark, number
from app.pages.region import card, nothing
from app.reports import report_address
from app.states import markup
from storage.records import Finding, Verdict, Window


def report_card(window: Window, evidently: Finding | None, found: list[Finding]) -> pn.Column:
    """Evidently's drifted share, where it and the findings of the whole disagree, and the way to its report."""
    if evidently is None:
        return card("Evidently", "", nothing("No report is kept for this window."), flex=None)
    address = report_address(evidently.run)
    frame = pn.Column(sizing_mode="stretch_width", margin=0)
    dialog = pmui.Dialog(
        frame, title=f"Evidently, {days(window.start, window.end)}", full_screen=True,
        close_on_click=True, show_close_button=True,
    )  # fmt: skip
    button = pmui.Button(label="Open Evidently report", variant="outlined", size="small", margin=(6, 12))

    def show(_: Any) -> None:
        # Only now: the page is some 4 MB.
        page = f'<iframe class="dm-report" src="{address}" sandbox="allow-scripts allow-downloads"></iframe>'
        frame.objects = [markup(page, margin=0)]
        dialog.open = True

    button.on_click(show)
    tab = markup(f'<a href="{address}" target="_blank" rel="noopener">in a new tab</a>', margin=(12, 4))
    return card(
        "Evidently", "over the whole, on a sample", markup(comparison(evidently, found), margin=(2, 12)),
        pn.Row(button, tab, margin=0), dialog, flex=None,
    )  # fmt: skip


def comparison(evidently: Finding, found: list[Finding]) -> str:
    """Evidently's drifted share, and a table of the figures on which the two disagree, as HTML."""
    details = evidently.details
    said = (
        f'<div class="dm-words">{mark(evidently.verdict, words=False)} <b>{details["drifted"]} of '
        f"{details['columns']} columns drifted</b> <span>by its own rule, {count(evidently.n)} rows</span></div>"
    )
    ours = {each.metric.removeprefix("drift:"): each for each in found if each.region is None}
    rows = []
    for name, score in details["scores"].items():
        mine = ours.get(name)
        if mine is not None and (mine.verdict in (Verdict.WARNING, Verdict.CRITICAL)) != score["drifted"]:
            rows.append(
                f"<tr><td>{escape(name)}</td><td>{'drifted' if score['drifted'] else 'not drifted'} "
                f"({number(score['score'])})</td><td>{mark(mine.verdict)} ({number(mine.value)})</td>"
                f"<td>{escape(why(mine, bool(score['drifted'])))}</td></tr>"
            )
    if not rows:
        return f'{said}<div class="dm-words"><span>driftmap agrees on every one, over the whole.</span></div>'
    head = "<th>Figure</th><th>Evidently</th><th>driftmap</th><th>Why</th>"
    return f'{said}<table class="dm-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def why(mine: Finding, theirs: bool) -> str:
    """Why a finding and Evidently disagree. `theirs`: whether Evidently says drifted."""
    details = mine.details
    if mine.verdict == Verdict.INSUFFICIENT:
        return str(details.get("reason") or "Too few rows to judge.")
    value, least, usual, p = mine.value or 0.0, details["min_effect"], details.get("usual"), details.get("p_adjusted")
    if not theirs:
        return "Evidently scores a sample; all rows together are over the limit."
    if value < least:
        return f"Over all rows the effect is {number(value)}, below {number(least)}."
    if usual is not None and value <= usual:
        return f"Not more than usual: up to {number(usual)} in the reference."
    if p is None or p >= 0.05:
        return f"Too little evidence: adjusted p {number(p)}."
    return "Evidently scores a sample only."
