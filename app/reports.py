"""Evidently's pages, served beside the dashboard and behind the same login."""

import asyncio

from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.web import HTTPError, authenticated

from storage.database import Database
from storage.findings import report_html

PATH = "report"


def report_address(run: str) -> str:
    """Where the report of the run with the id `run` is, seen from the dashboard's page."""
    return f"{PATH}?run={run}"


class ReportPage(AuthRequestHandler):
    """The page that is kept for a run. Its scripts run, but apart from the dashboard: the page has no origin."""

    def initialize(self, database: Database) -> None:
        self.database = database

    @authenticated
    async def get(self) -> None:
        html = await asyncio.to_thread(report_html, self.database, self.get_query_argument("run"))
        if html is None:
            raise HTTPError(404, reason="No report is kept for this run")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", "sandbox allow-scripts allow-downloads")
        self.finish(html)
