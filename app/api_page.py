"""The page that explains the HTTP API: made from its OpenAPI description, nothing from the internet."""

from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8884; padding: .75rem 0; }
h2 { font: 600 1rem ui-monospace, monospace; margin: 0; }
h2 b { display: inline-block; min-width: 3.5rem; }
p { margin: .25rem 0; }
td { padding: 0 1.5rem 0 0; vertical-align: top; }
code { font: .9em ui-monospace, monospace; }
"""


def api_page(description: dict[str, Any]) -> str:
    """The page, as HTML, for an OpenAPI description."""
    title = escape(description["info"]["title"])
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}: HTTP API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{title}: HTTP API</h1><p>{escape(description['info']['description'])} "
        f'For programs: <a href="openapi.json">openapi.json</a>.</p>{operations}</html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>in the {escape(item['in'])}</td>"
        f"<td>{escape(item.get('description') or item['schema'].get('description') or '')}</td></tr>"
        for item in operation.get("parameters", ())
    )
    kinds = "<br>".join(f"<code>{escape(kind)}</code>" for kind in operation.get("requestBody", {}).get("content", ()))
    words = escape(operation.get("description", ""))
    return (
        f"<section><h2><b>{method.upper()}</b> {escape(path)}</h2><p>{words}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + (f"<p>Body:<br>{kinds}</p>" if kinds else "")
        + "</section>"
    )
