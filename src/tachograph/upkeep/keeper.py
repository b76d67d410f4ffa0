"""The keeper: what `tachograph serve` does by itself, watching every few seconds and pruning now and then.

It has a thread for each, so that a long pruning holds up neither the alerts, nor the drain, nor an answer. What goes
wrong is counted and logged, and tried again when it is due the next time; nothing ends the threads but `close`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tachograph.compose import admitter_for, heads_of, scrubber_for
from tachograph.errors import TachographError
from tachograph.events.envelope import Event
from tachograph.record.after.audit import keep
from tachograph.record.clock import SYSTEM, Clock
from tachograph.settings import Settings
from tachograph.store.ports import Store
from tachograph.upkeep.alert import Firing, OnAlert
from tachograph.upkeep.amounts import SECOND
from tachograph.upkeep.policies import Policies, policies_for
from tachograph.upkeep.prune import Pruned, prune
from tachograph.upkeep.watch import Keep, Watch

log = logging.getLogger("tachograph.upkeep")

WATCH_EVERY = 5 * SECOND
PRUNE_EVERY = 600 * SECOND
_CLOSE_SECONDS = 5.0


@dataclass
class Health:
    """What was done so far. Times are UTC ns, 0 before the first."""

    prunings: int = 0
    """Rounds in which the rules were applied, whether or not anything went."""
    runs_erased: int = 0
    bytes_returned: int = 0
    """Given back to the file system. A round in which the store grew meanwhile adds nothing."""
    alerts_fired: int = 0
    late_samples: int = 0
    """What came into the store too late to count in a window."""
    callback_failures: int = 0
    failures: int = 0
    """Rounds that did not go through."""
    last_failure: str = ""
    """Why the last round that failed did; empty when both have gone through since."""
    last_watch_at: int = 0
    last_prune_at: int = 0

    def counts(self) -> Mapping[str, int]:
        """What only grows, by name, for /metrics."""
        return {f"upkeep_{name}": getattr(self, name) for name in _GROWING}


_GROWING = (
    "prunings", "runs_erased", "bytes_returned", "alerts_fired", "late_samples", "callback_failures", "failures",
)  # fmt: skip


class Step:
    """What one step of the keeper did; falsy when nothing was due."""

    def __init__(self, firings: Sequence[Firing] = (), pruned: Pruned | None = None) -> None:
        self.firings, self.pruned = tuple(firings), pruned

    def __bool__(self) -> bool:
        """Whether anything came of it."""
        return bool(self.firings or self.pruned)


class Keeper:
    """Watches and prunes one store by its policies. Call `step` yourself, or `start` and `close`, not both."""

    def __init__(
        self,
        store: Store,
        policies: Policies,
        keep_audit: Keep,
        *,
        clock: Clock = SYSTEM,
        watch_every: int = WATCH_EVERY,
        prune_every: int = PRUNE_EVERY,
        on_alert: OnAlert | None = None,
        forget: Callable[[Sequence[str]], object] = lambda runs: None,
    ) -> None:
        """Intervals in nanoseconds; `forget` is told which runs are erased.

        Raises SettingsError for a callback that cannot be imported.
        """
        self._store, self._rules, self._keep_audit, self._clock = store, policies.rules, keep_audit, clock
        self._watch_every, self._prune_every = watch_every, prune_every
        self._forget = forget
        self._writing = threading.Lock()
        self._watch = Watch(store, policies.alerts, self._keep, entropy=clock.entropy, on_alert=on_alert)
        self._watch_at = self._prune_at = 0
        self._failing: dict[str, str] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._noting = threading.Lock()
        self.health = Health()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do: no rule, no alert."""
        return not self._rules and not self._watch.alerts

    def step(self, now_ns: int) -> Step:
        """Do what is due. Never raises but for what is a mistake in here; see `health`."""
        return Step(self._look(now_ns), self._prune(now_ns))

    def start(self) -> None:
        """Do what is due in threads, until `close`. None is started when there is nothing to do."""
        if self._threads:
            return
        for what, wanted in ((self._look, self._watch.alerts), (self._prune, self._rules)):
            if wanted:
                name = f"tachograph-keeper-{what.__name__.strip('_')}"
                self._threads.append(threading.Thread(target=self._work, args=(what,), name=name, daemon=True))
                self._threads[-1].start()

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """End after the transaction that is under way, and give callbacks a moment."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(seconds)
        self._threads.clear()
        self._watch.settle(seconds)

    def _work(self, what: Callable[[int], object]) -> None:
        while not self._stopping.is_set():
            try:
                what(self._clock.now())
            except Exception as problem:
                # A mistake of ours must not end the thread: the next round may well work.
                log.exception("upkeep failed")
                self._failed("upkeep", problem)
            self._stopping.wait(min(self._watch_every / SECOND, 1.0))

    def _look(self, now_ns: int) -> Sequence[Firing]:
        if not self._watch.alerts or now_ns < self._watch_at:
            return ()
        self._watch_at = now_ns + self._watch_every
        try:
            firings = self._watch.step(now_ns)
        except (TachographError, OSError) as problem:
            self._failed("watching", problem)
            return ()
        finally:
            health, counts = self.health, self._watch.counts
            health.alerts_fired, health.late_samples = counts.fired, counts.late
            health.callback_failures = self._watch.callback_failures
        self.health.last_watch_at = now_ns
        self._well("watching")
        return firings

    def _prune(self, now_ns: int) -> Pruned | None:
        if not self._rules or now_ns < self._prune_at:
            return None
        self._prune_at = now_ns + self._prune_every
        try:
            pruned = prune(
                self._store, self._rules, now_ns, self._keep, clock=self._clock,
                forget=self._forget, pause=self._stopping.wait, stop=self._stopping.is_set,
            )  # fmt: skip
        except (TachographError, OSError) as problem:
            self._failed("pruning", problem)
            return None
        health = self.health
        health.prunings += 1
        health.runs_erased += pruned.sum("runs")
        health.bytes_returned += max(0, pruned.returned)
        health.last_prune_at = now_ns
        self._well("pruning")
        return pruned

    def _keep(self, events: Sequence[Event]) -> None:
        """Both threads have audit runs to write, and the gate takes one at a time."""
        with self._writing:
            self._keep_audit(events)

    def _failed(self, what: str, problem: Exception) -> None:
        said = f"{what}: {problem}"
        with self._noting:
            if self._failing.get(what) != said:
                log.warning("%s failed, it is tried again: %s", what, problem)
            self.health.failures += 1
            self._failing[what] = self.health.last_failure = said

    def _well(self, what: str) -> None:
        with self._noting:
            self._failing.pop(what, None)
            self.health.last_failure = next(iter(self._failing.values()), "")


def keeper_for(settings: Settings, store: Store, *, clock: Clock = SYSTEM, on_alert: OnAlert | None = None) -> Keeper:
    """The keeper of these settings' policies. Raises SettingsError."""
    admitter = admitter_for(settings, store, scrubber_for(settings))
    forget = heads_of(settings).forget
    return Keeper(
        store, policies_for(settings), partial(keep, store, admitter), clock=clock, on_alert=on_alert, forget=forget
    )  # fmt: skip
