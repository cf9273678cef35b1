from __future__ import annotations

import os
import threading
import time

import pytest

from ml.windows.parallel import available_cpus, for_each


@pytest.mark.parametrize("threads", [1, 3])
def test_every_item_is_worked_on_once(threads: int) -> None:
    done: list[int] = []
    for_each(done.append, range(50), threads)
    assert sorted(done) == list(range(50))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_is_raised_and_ends_the_rest(threads: int) -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.01)
        if item == 1:
            raise RuntimeError("item 1")

    with pytest.raises(RuntimeError, match="item 1"):
        for_each(work, range(200), threads)
    assert len(begun) < 50


def test_threads_work_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=10)
    for_each(lambda _: meeting.wait(), range(2), 2)


def test_the_process_knows_its_own_cpus() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)
