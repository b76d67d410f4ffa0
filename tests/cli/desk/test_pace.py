from __future__ import annotations

import threading

from tachograph.cli.desk.pace import SECOND, Pace


def test_time_passes_when_somebody_waits() -> None:
    """Both clocks move on by what was waited for, and a little with each reading."""
    pace = Pace(1_000 * SECOND)
    clock = pace.clock()
    before, ticked = clock.now(), clock.mono()
    pace.wait(2.5)
    assert 1_000 * SECOND < before < 1_000 * SECOND + SECOND // 1_000
    assert 2.5 * SECOND < clock.mono() - ticked < 2.501 * SECOND
    assert clock.now() > before + 2.5 * SECOND


def test_no_wait_is_lost_between_threads() -> None:
    """Waits of several threads, while others look at the clock, add up."""
    pace = Pace(0)
    clock = pace.clock()

    def work() -> None:
        for _ in range(2_000):
            pace.wait(1)
            clock.mono()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.mono() // SECOND == 8_000
