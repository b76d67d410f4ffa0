from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tachograph.server.flights import Flights


def together(count: int, action: Callable[[], object]) -> None:
    """So many threads do it at once."""
    threads = [threading.Thread(target=action) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_many_who_ask_at_once_share_few_answers() -> None:
    """Of twenty that ask together one goes first and the rest share the next answer."""
    flights = Flights()
    worked: list[None] = []
    given: list[int] = []
    barrier = threading.Barrier(20)

    def work() -> int:
        worked.append(None)
        time.sleep(0.1)
        return len(worked)

    def ask() -> None:
        barrier.wait()
        given.append(flights.share("q", work))

    together(20, ask)
    assert len(given) == 20
    assert len(worked) <= 3


def test_nobody_gets_an_answer_older_than_the_question() -> None:
    """Who asks after something was written sees it, whatever was under way meanwhile."""
    flights, written = Flights(), [0]
    begun = threading.Event()

    def slow() -> int:
        seen = written[0]
        begun.set()
        time.sleep(0.1)
        return seen

    first = threading.Thread(target=lambda: flights.share("q", slow))
    first.start()
    assert begun.wait(5)
    written[0] = 1
    assert flights.share("q", slow) == 1
    first.join(5)


def test_different_questions_do_not_wait_for_each_other() -> None:
    """One that takes long holds up nobody who asks something else; afterwards nothing is kept."""
    flights, release = Flights(), threading.Event()
    slow = threading.Thread(target=lambda: flights.share("slow", lambda: release.wait(5)))
    slow.start()
    assert flights.share("quick", lambda: 7) == 7
    release.set()
    slow.join(5)
    assert (flights._flying, flights._waiting) == ({}, {})


def test_a_failure_is_everybodys_and_the_next_may_work() -> None:
    """What the work raises is raised for all who shared it, and is not kept."""
    flights = Flights()
    with pytest.raises(ValueError, match="broken"):
        flights.share("q", lambda: int("broken"))
    assert flights.share("q", lambda: 3) == 3


def test_thousands_of_questions_all_get_answers() -> None:
    """Under a storm every question is answered, with an answer that began after it was asked."""
    flights, count = Flights(), [0]

    def work() -> int:
        count[0] += 1
        return count[0]

    def ask() -> None:
        for _ in range(300):
            before = count[0]
            assert flights.share("q", work) > before - 1

    together(8, ask)
    assert (flights._flying, flights._waiting) == ({}, {})
