"""The rows of a batch that were refused: why, which, and all of them as a file."""

import csv
import io
import json
from collections.abc import Callable
from html import escape

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from app.context import Context, fetch
from app.listing import Pager
from app.numbers import count, moment
from app.states import error_card, markup, waiting
from storage.batches import StoredBatch, rejected_reasons, rejected_rows

ROWS = 20
EVERY = "all reasons"
LONGEST = 120  # letters of a value that are shown


class Refused:
    """The refused rows of one batch, page by page from the store."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.batch: StoredBatch | None = None
        self.reasons: dict[str, int] = {}
        self.pager = Pager(ROWS, self.show)
        self.reason = pmui.Select(label="Reason", options=[EVERY], size="small", sizing_mode="stretch_width")
        self.reason.param.watch(self.narrowed, "value")
        self.rows = markup("", margin=(0, 10))
        self.place = pn.Column(sizing_mode="stretch_width", margin=0)

    async def open(self, batch: StoredBatch) -> None:
        self.batch = batch
        self.place.objects = [waiting(200)]
        try:
            self.reasons = await fetch(rejected_reasons, self.context.database, batch.id)
            self.pager.start = 0
            self.reason.param.update(options=[EVERY, *self.reasons], value=EVERY)
            await self.show()
            self.place.objects = self.parts(batch)
        except Exception as error:
            self.place.objects = [error_card(error)]

    def parts(self, batch: StoredBatch) -> list[pn.viewable.Viewable]:
        parts: list[pn.viewable.Viewable] = [markup(heading(batch), margin=(0, 10))]
        if not self.reasons:
            return [*parts, markup('<p class="dm-words">No row was refused.</p>', margin=(0, 10))]
        parts.append(markup(reasons(self.reasons), margin=(0, 10)))
        parts.append(pn.Row(self.download("csv", as_csv), self.download("jsonl", as_json_lines), margin=(0, 4)))
        if len(self.reasons) > 1:
            parts.append(self.reason)
        return [*parts, self.rows, self.pager.view]

    def narrowed(self, _: object) -> None:
        self.pager.start = 0
        pn.state.execute(self.show)

    async def show(self) -> None:
        """Show the page of rows that is turned to."""
        if self.batch is None:
            return
        reason = None if self.reason.value == EVERY else self.reason.value
        total = sum(self.reasons.values()) if reason is None else self.reasons.get(reason, 0)
        found = await fetch(rejected_rows, self.context.database, self.batch.id, ROWS, self.pager.start, reason)
        self.rows.object = examples(found)
        self.pager.show(len(found), more=self.pager.start + len(found) < total, total=total)

    def download(self, ending: str, write: Callable[[pd.DataFrame], bytes]) -> pmui.FileDownload:
        batch = self.batch
        assert batch is not None

        def made() -> bytes:
            return write(rejected_rows(self.context.database, batch.id, limit=None))

        async def content() -> io.BytesIO:
            return io.BytesIO(await fetch(made))

        return pmui.FileDownload(
            callback=content,
            filename=f"refused-{batch.id}.{ending}",
            label={"csv": "CSV", "jsonl": "JSON lines"}[ending],
            size="small",
            variant="outlined",
            margin=(6, 6),
        )


def heading(batch: StoredBatch) -> str:
    return (
        f'<div class="dm-detail"><h2>{escape(batch.source)}</h2>'
        f'<p class="dm-quiet">{escape(batch.kind)} · received {moment(batch.received_at)}'
        f" · batch {escape(batch.id)}</p>"
        f"<p><b>{count(batch.refused)}</b> of {count(batch.rows)} rows refused</p></div>"
    )


def reasons(found: dict[str, int]) -> str:
    """The reasons with how many rows each holds for, as an HTML table."""
    lines = "".join(f"<tr><td>{escape(reason)}</td><td>{count(n)}</td></tr>" for reason, n in found.items())
    head = "<thead><tr><th>Reason</th><th>Rows</th></tr></thead>"
    return f'<table class="dm-plain">{head}<tbody>{lines}</tbody></table>'


def examples(rows: pd.DataFrame) -> str:
    """Refused rows with all they hold, as an HTML table."""
    lines = "".join(
        f'<tr><td class="dm-place">{count(number)}</td>'
        f'<td>{escape(reason)}<div class="dm-pairs">{pairs(content)}</div></td></tr>'
        for number, reason, content in rows.itertuples(index=False)
    )
    head = "<thead><tr><th>Row</th><th>Reason and content</th></tr></thead>"
    return f'<table class="dm-plain">{head}<tbody>{lines}</tbody></table>'


def pairs(content: str) -> str:
    """A row's content as `name value` pairs, as HTML. Values that are missing are said to be."""
    return ", ".join(
        f"<small>{escape(name)}</small> {'<i>missing</i>' if value is None else escape(shortened(str(value)))}"
        for name, value in json.loads(content).items()
    )


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def as_csv(rows: pd.DataFrame) -> bytes:
    """UTF-8; row, reason, and a column for each name in the content."""
    contents = [json.loads(content) for content in rows["content"]]
    names = list(dict.fromkeys(name for content in contents for name in content))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["row", "reason", *names])
    for number, reason, content in zip(rows["row"], rows["reason"], contents, strict=True):
        writer.writerow([number, reason, *(content.get(name) for name in names)])
    return out.getvalue().encode()


def as_json_lines(rows: pd.DataFrame) -> bytes:
    """UTF-8; one object a line with row, reason and content."""
    lines = (
        json.dumps({"row": int(number), "reason": reason, "content": json.loads(content)}, ensure_ascii=False)
        for number, reason, content in rows[["row", "reason", "content"]].itertuples(index=False)
    )
    return "".join(f"{line}\n" for line in lines).encode()
