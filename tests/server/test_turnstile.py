from __future__ import annotations

import threading
import time

import pytest

from tachograph.server.problems import Refusal
from tachograph.server.turnstile import Turnstile


class Writers:
    """Threads that go through a turnstile one after the other, each waiting before the next comes."""

    def __init__(self, turnstile: Turnstile) -> None:
        self.turnstile = turnstile
        self.order: list[int] = []
        self.refused: list[int] = []
        self.inside = self.most_inside = 0
        self._threads: list[threading.Thread] = []

    def come(self, number: int, release: threading.Event | None = None) -> None:
        """One more, which stays inside until it is released."""
        thread = threading.Thread(target=self._write, args=(number, release))
        thread.start()
        self._threads.append(thread)
        until = time.monotonic() + 5
        while thread.is_alive() and not self._has_come(number) and time.monotonic() < until:
            time.sleep(0.001)

    def join(self) -> None:
        """Wait for all of them."""
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _has_come(self, number: int) -> bool:
        return number in (*self.order, *self.refused) or len(self.turnstile._waiting) + len(self.order) > number

    def _write(self, number: int, release: threading.Event | None) -> None:
        try:
            with self.turnstile.turn():
                self.inside += 1
                self.most_inside = max(self.most_inside, self.inside)
                self.order.append(number)
                if release is not None:
                    release.wait(10)
                self.inside -= 1
        except Refusal:
            self.refused.append(number)


def test_writers_go_one_by_one_in_the_order_they_came() -> None:
    """Nobody overtakes, and never two are inside."""
    writers, release = Writers(Turnstile()), threading.Event()
    writers.come(0, release)
    for number in range(1, 10):
        writers.come(number)
    release.set()
    writers.join()
    assert (writers.order, writers.most_inside, writers.refused) == (list(range(10)), 1, [])


def test_who_finds_too_many_waiting_is_sent_away_at_once() -> None:
    """The answer is 503 and says when to come back; those who wait still get their turn."""
    writers, release = Writers(Turnstile(most=2)), threading.Event()
    for number in range(3):
        writers.come(number, release)
    with pytest.raises(Refusal) as caught, writers.turnstile.turn():
        pass
    assert (caught.value.problem.status, caught.value.headers) == (503, {"Retry-After": "1"})
    release.set()
    writers.join()
    assert (writers.order, writers.turnstile.refused) == ([0, 1, 2], 1)


def test_nobody_waits_longer_than_their_patience() -> None:
    """Who waited too long is sent away and holds up nobody behind."""
    writers, release = Writers(Turnstile(patience=0.05)), threading.Event()
    writers.come(0, release)
    began = time.monotonic()
    with pytest.raises(Refusal, match=r"not free for 0\.05 s"), writers.turnstile.turn():
        pass
    assert time.monotonic() - began < 5
    writers.come(1)
    time.sleep(0.2)
    release.set()
    writers.join()
    with writers.turnstile.turn():
        pass
    assert (writers.order, writers.refused) == ([0], [1])


def test_several_places_take_several_at_a_time() -> None:
    """As many as there are places, and no more."""
    writers, release = Writers(Turnstile(places=3)), threading.Event()
    for number in range(8):
        writers.come(number, release)
    assert (writers.inside, sorted(writers.order)) == (3, [0, 1, 2])
    release.set()
    writers.join()
    assert (sorted(writers.order), writers.most_inside) == (list(range(8)), 3)


def test_a_failure_inside_lets_the_next_one_in() -> None:
    """The turn ends however the block ends."""
    turnstile = Turnstile()
    with pytest.raises(ZeroDivisionError), turnstile.turn():
        raise ZeroDivisionError
    with turnstile.turn():
        pass


def test_many_writers_all_get_their_turn() -> None:
    """Sixteen threads, a hundred turns each: every one is had, none at the same time as another."""
    turnstile, inside, had = Turnstile(most=16), [0], []
    problems: list[int] = []

    def write() -> None:
        for _ in range(100):
            with turnstile.turn():
                inside[0] += 1
                if inside[0] != 1:
                    problems.append(inside[0])
                inside[0] -= 1
                had.append(1)

    threads = [threading.Thread(target=write) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(had), problems) == (1_600, [])
