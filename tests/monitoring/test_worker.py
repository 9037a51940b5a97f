import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pyarrow as pa
import pytest

from monitoring.worker import Worker, to_bytes, to_table
from storage.errors import DriftmapError
from storage.models import Model

MODEL = Model(name="crops", classes=("a", "b"))
EMPTY = pa.table({"predicted": pa.array([], pa.string())})


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


def test_a_table_travels_as_it_is() -> None:
    table = pa.table({"x": [1.5, None], "c": pa.array(["ü", None]).dictionary_encode()})
    assert to_table(to_bytes(table)).equals(table)


def test_work_is_done_in_one_other_process_that_stays(worker: Worker) -> None:
    first, second = worker.submit(os.getpid).result(60), worker.submit(os.getpid).result(60)
    assert first == second != os.getpid()


def test_a_report_comes_back_from_the_process(worker: Worker) -> None:
    result = worker.report(EMPTY, EMPTY, MODEL).result(60)
    assert result.drifted_share is None
    assert "nothing to compare" in result.html


def test_what_the_work_raises_comes_back(worker: Worker) -> None:
    with pytest.raises(DriftmapError, match=r"no\.pt2"):
        worker.score(Path("no.pt2"), pa.table({"x": [1.0]}), MODEL, 2, 8).result(120)
    with pytest.raises(ZeroDivisionError):
        worker.submit(divmod, 1, 0).result(60)


def test_a_killed_process_is_one_clear_error_and_the_next_call_starts_another(worker: Worker) -> None:
    killed = worker.submit(os.getpid).result(60)
    busy: Future[None] = worker.submit(time.sleep, 60)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(DriftmapError, match="ended before it was done"):
        busy.result(60)
    assert worker.submit(os.getpid).result(60) != killed


def test_a_process_killed_while_idle_is_replaced(worker: Worker) -> None:
    killed = worker.submit(os.getpid).result(60)
    os.kill(killed, signal.SIGKILL)
    for _ in range(3):
        try:
            assert worker.submit(os.getpid).result(60) != killed
            return
        except DriftmapError:  # asked before anybody had noticed
            continue
    pytest.fail("no new process was started")


def test_a_closed_worker_says_so_and_leaves_no_process() -> None:
    worker = Worker()
    process = worker.submit(os.getpid).result(60)
    worker.close()
    with pytest.raises(DriftmapError, match="closed"):
        worker.submit(os.getpid)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
