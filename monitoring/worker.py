"""One process beside the server for heavy work, so that pages stay quick while a report is made."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pyarrow as pa

from monitoring.report import ReportResult, evidently_report
from storage.errors import DriftmapError
from storage.models import Model

T = TypeVar("T")

ENDED = (
    "The worker process ended before it was done: it was killed, or the machine ran out of memory. "
    "The next call starts a new one."
)
CLOSED = "The worker is closed."


class Worker:
    """A process that lives as long as this object and does one thing after the other.

    It starts with the first call and keeps what it imported (Evidently takes 6 s). Tables travel as Arrow.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()
        self._closed = False

    def report(self, current: pa.Table, reference: pa.Table, model: Model) -> Future[ReportResult]:
        """What `monitoring.report.evidently_report` makes of two samples."""
        return self.submit(make_report, to_bytes(current), to_bytes(reference), model)

    def score(
        self, program: Path, table: pa.Table | Path, model: Model, passes: int, batch_size: int, seed: int = 0
    ) -> Future[pa.Table]:
        """What `monitoring.scoring.score_table` makes of `table` (or of a Parquet file)."""
        content = table if isinstance(table, Path) else to_bytes(table)
        return self.submit(make_scores, program, content, model, passes, batch_size, seed, after=to_table)

    def submit(
        self, work: Callable[..., Any], *arguments: Any, after: Callable[[Any], Any] | None = None
    ) -> Future[Any]:
        """The future result of `work(*arguments)` in the process, passed through `after` in this one.

        It raises what `work` raises, or DriftmapError where the process ended first.
        """
        outcome: Future[Any] = Future()
        outcome.set_running_or_notify_cancel()
        with self._lock:
            if self._closed:
                raise DriftmapError(CLOSED)
            pool, inner = self._started(work, arguments)

        def done(inner: Future[Any]) -> None:
            try:
                result = inner.result()
                outcome.set_result(result if after is None else after(result))
            except BrokenProcessPool as error:
                self._forget(pool)
                outcome.set_exception(ended(error))
            except BaseException as error:
                outcome.set_exception(DriftmapError(CLOSED) if inner.cancelled() else error)

        inner.add_done_callback(done)
        return outcome

    def close(self) -> None:
        """Finish what is being done, drop what waits, and end the process."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[ProcessPoolExecutor, Future[Any]]:
        if self._pool is not None:
            try:
                return self._pool, self._pool.submit(work, *arguments)
            except BrokenProcessPool:  # it was killed while it had nothing to do
                self._pool.shutdown(wait=False)
        self._pool = new_pool()
        return self._pool, self._pool.submit(work, *arguments)

    def _forget(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.shutdown(wait=False)


def new_pool() -> ProcessPoolExecutor:
    # A fork would copy threads and locks of the server; a spawned process starts clean.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=settle)


def settle() -> None:
    """In the process: leave Ctrl-C to the parent, and end when the parent does."""
    os.environ["DO_NOT_TRACK"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def ended(cause: BaseException) -> DriftmapError:
    error = DriftmapError(ENDED)
    error.__cause__ = cause
    return error


def make_report(current: bytes, reference: bytes, model: Model) -> ReportResult:
    return evidently_report(to_table(current).to_pandas(), to_table(reference).to_pandas(), model)


def make_scores(program: Path, table: bytes | Path, model: Model, passes: int, batch_size: int, seed: int) -> bytes:
    from monitoring.scoring import score_table

    if isinstance(table, Path):
        from pyarrow import parquet

        content = parquet.read_table(table)
    else:
        content = to_table(table)
    return to_bytes(score_table(program, content, model, passes, batch_size, seed))


def to_bytes(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def to_table(content: bytes) -> pa.Table:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
