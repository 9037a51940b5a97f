"""The pages of the dashboard. To add one: a module with `page(context)`, and a row in this table."""

from collections.abc import Callable
from dataclasses import dataclass

from panel.viewable import Viewable

from app.context import Context
from app.pages import alerts, drift, explore, regions, runs


@dataclass(frozen=True)
class Entry:
    """A page as the rail shows it: its key in the address, its name, its icon, and how it is built."""

    key: str
    label: str
    icon: str
    page: Callable[[Context], Viewable]


ENTRIES = (
    Entry("explore", "Explore", "map", explore.page),
    Entry("regions", "Regions", "grid_view", regions.page),
    Entry("drift", "Drift", "ssid_chart", drift.page),
    Entry("alerts", "Alerts", "notifications", alerts.page),
    Entry("runs", "Runs", "playlist_add_check", runs.page),
)
