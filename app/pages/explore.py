"""The page Explore."""

from panel.viewable import Viewable

from app.context import Context
from app.states import waiting


def page(context: Context) -> Viewable:
    return waiting()
