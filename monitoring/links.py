"""Addresses of views: what an alert links to, and what the dashboard reads back."""

from urllib.parse import urlencode

from storage.records import Window


def view_link(
    base: str,
    page: str,
    model: str,
    *,
    version: str | None = None,
    window: Window | None = None,
    region: str | None = None,
) -> str:
    """The address of a page that shows `model`, in `window` (half-open, ISO dates) and `region` where given."""
    keys = {
        "page": page,
        "model": model,
        "version": version,
        "start": window.start.date().isoformat() if window else None,
        "end": window.end.date().isoformat() if window else None,
        "region": region,
    }
    return f"{base.rstrip('/')}/?{urlencode({key: value for key, value in keys.items() if value is not None})}"
