"""A person at the dashboard as the server sees one: a websocket that speaks Bokeh's protocol, without a browser.

It asks for the page, reports that it is there, and changes the ranges of the map as a drag does; and it sees when the
map's new image has arrived. https://docs.bokeh.org/en/latest/docs/dev_guide/server.html has the messages.
"""

import asyncio
import itertools
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, Self

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from app.selection import Box

QUIET = 1.5  # seconds without a message, after which a page is complete
PATIENCE = 60.0
LARGEST = 2**30


class Person:
    """One session. `opening`: seconds until the page was complete. `latencies`: seconds from each move to the image;
    `lost`: moves whose image never came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.socket: WebSocketClientConnection
        self.latencies: list[float] = []
        self.opening = 0.0
        self.lost = 0
        self.received = 0
        self._numbers = itertools.count(1)
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._map: dict[str, Any] = {}
        self._sources: set[str] = set()

    async def arrive(self) -> Self:
        """Open the page and wait until the map is drawn. Raises TimeoutError where it never is."""
        started = time.perf_counter()
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(self.url, timeout=PATIENCE).read().decode())
        found = re.search(r'"token":"([^"]+)"', page)
        assert found, "no token in the page"
        address = self.url.replace("http", "ws", 1).rstrip("/") + "/ws"
        request = HTTPRequest(address, request_timeout=PATIENCE)
        self.socket = await websocket_connect(
            request, subprotocols=["bokeh", found[1]], max_message_size=LARGEST, ping_interval=None
        )
        self._reading = asyncio.create_task(self._read())
        await self._wait("ACK")
        await self._send("PULL-DOC-REQ", {})
        await self._wait("PULL-DOC-REPLY")
        await self._patch(self._event("document_ready"))
        deadline = time.perf_counter() + PATIENCE
        while not self._sources and time.perf_counter() < deadline:
            self.opening = await self._until_quiet() - started
            await self._send("PULL-DOC-REQ", {})
            self._find((await self._wait("PULL-DOC-REPLY"))["content"]["doc"])
        if not self._sources:
            raise TimeoutError(f"No map was drawn within {PATIENCE:.0f} s.")
        return self

    async def move(self, view: Box) -> None:
        """Pan or zoom to `view`, and wait for the image."""
        while not self._messages.empty():
            self._messages.get_nowait()
        x0, y0, x1, y1 = view
        ranges = {"x_range": (x0, x1), "y_range": (y0, y1)}
        changes = [
            {"kind": "ModelChanged", "model": {"id": self._map[name]}, "attr": attribute, "new": value}
            for name, ends in ranges.items()
            for attribute, value in zip(("start", "end"), ends, strict=True)
        ]
        started = time.perf_counter()
        moved = self._event("rangesupdate", model={"id": self._map["id"]}, x0=x0, x1=x1, y0=y0, y1=y1)
        await self._patch(*changes, moved)
        while (left := started + PATIENCE - time.perf_counter()) > 0:
            try:
                message = await asyncio.wait_for(self._messages.get(), left)
            except TimeoutError:
                break
            if message["type"] == "PATCH-DOC" and self._is_image(message["content"]):
                self.latencies.append(message["at"] - started)
                return
        self.lost += 1

    def leave(self) -> None:
        self._reading.cancel()
        self.socket.close()

    def _is_image(self, content: dict[str, Any]) -> bool:
        changed = (event.get("column_source") or event.get("model") or {} for event in content["events"])
        return any(model.get("id") in self._sources for model in changed)

    def _find(self, document: dict[str, Any]) -> None:
        """The map in a document: the figure that has an image, in metres; its ranges; the sources it draws from."""
        known = {each["id"]: each for each in objects(document)}
        for figure in known.values():
            if figure["name"] != "Figure":
                continue
            parts = figure["attributes"]
            ranges = {name: parts[name]["id"] for name in ("x_range", "y_range")}
            start = known[ranges["x_range"]].get("attributes", {}).get("start")
            if not isinstance(start, int | float) or abs(start) < 1e5:
                continue
            renderers = [known[each["id"]] for each in listed(parts.get("renderers", []))]
            glyphs = [(known[each["attributes"]["glyph"]["id"]]["name"], each) for each in renderers]
            if any(name == "Image" for name, _ in glyphs):
                self._map = {"id": figure["id"], **ranges}
                drawn = [each for name, each in glyphs if name in ("Image", "Scatter", "Circle")]
                self._sources = {each["attributes"]["data_source"]["id"] for each in drawn}

    def _event(self, name: str, **values: Any) -> dict[str, Any]:
        entries = [[key, value] for key, value in values.items()]
        event = {"type": "event", "name": name, "values": {"type": "map", "entries": entries}}
        return {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}

    async def _patch(self, *events: dict[str, Any]) -> None:
        await self._send("PATCH-DOC", {"events": list(events)})

    async def _send(self, kind: str, content: dict[str, Any]) -> None:
        header = {"msgid": str(next(self._numbers)), "msgtype": kind}
        for part in (header, {}, content):
            await self.socket.write_message(json.dumps(part))

    async def _wait(self, kind: str) -> dict[str, Any]:
        while True:
            message = await asyncio.wait_for(self._messages.get(), PATIENCE)
            if message["type"] == kind:
                return message

    async def _until_quiet(self) -> float:
        """The moment of the last message, once none has come for a while."""
        last = time.perf_counter()
        try:
            while True:
                last = (await asyncio.wait_for(self._messages.get(), QUIET))["at"]
        except TimeoutError:
            return last

    async def _read(self) -> None:
        """Put whole messages into the queue: header, metadata and content, then a header and bytes a buffer."""
        while (first := await self.socket.read_message()) is not None:
            header = json.loads(first)
            await self.socket.read_message()
            content = await self.socket.read_message()
            assert content is not None
            self.received += len(content)
            for _ in range(header.get("num_buffers", 0)):
                await self.socket.read_message()
                self.received += len(await self.socket.read_message() or b"")
            at = time.perf_counter()
            await self._messages.put({"type": header["msgtype"], "content": json.loads(content), "at": at})


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every model that is spelled out in a document."""
    if isinstance(part, dict):
        if part.get("type") == "object" and "id" in part:
            yield {"attributes": {}, **part}
        for value in part.values():
            yield from objects(value)
    elif isinstance(part, list):
        for value in part:
            yield from objects(value)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else value.get("entries", [])
