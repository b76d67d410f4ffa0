"""A policy over recorded runs: what it would have done to them.

What a model would have done after a refusal nobody knows. It is taken to have gone on as it did, so a run counts as
stopped where its own calls would have led there, and a refused call is one whose result the model would have missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from tachograph.events.envelope import Event
from tachograph.events.limit import Mode
from tachograph.events.note import Score
from tachograph.fold.transcript import Fetch
from tachograph.limits.canonical import result_of
from tachograph.limits.guard import Refused
from tachograph.limits.history import Request, moments
from tachograph.limits.loops import Detector, Loops
from tachograph.limits.streaks import Place

PERSON = "user"
"""Agent type of a simulated person. Its calls are its own: no policy for the agent stops them."""
JUDGED = ("reward", "resolved", "correct")
"""Scores of a run that say whether it succeeded: from 1 on it did."""
_EQUAL = ("repeat", "same_calls", "circle")
"""Rules that take a result for known before it is there."""

_OFF: dict[str, Any] = dict.fromkeys(("warn", "block", "skip", "stop", "cycle", "errors", "no_progress"))
_LADDER: dict[str, Any] = {"warn": 2, "block": 3, "skip": 4, "stop": 6}
POLICIES: Mapping[str, Loops] = {
    "shipped": Loops(),
    "warn 2, block 3, skip 4, stop 6": Loops(**{**_OFF, **_LADDER}),
    "the same without news": Loops(**{**_OFF, **_LADDER, "news": None}),
    "3 same calls": Loops(**{**_OFF, "same_calls": 3}),
    "3 rounds of a circle": Loops(**{**_OFF, "cycle": 3}),
    "5 equal errors": Loops(**{**_OFF, "errors": 5}),
    "6 equal results": Loops(**{**_OFF, "no_progress": 6}),
}
"""What a report compares: the shipped policy, its parts one by one, and the mode of counting calls alone."""


class Hit(Struct, frozen=True):
    """What the policy would have said about one call."""

    step: int
    """Seq of its start."""
    number: int
    """Which call of the run it was, from 1."""
    tool: str
    rule: str
    mode: Mode
    metric: str
    used: float
    threshold: float
    evidence: tuple[int, ...]
    refused: bool
    changed: bool | None = None
    """Whether its recorded result was another one than the rule took for granted; None where none is taken so."""


class Tested(Struct, frozen=True):
    """A run under a policy."""

    calls: int = 0
    """Tool calls of the agent up to where it was stopped."""
    hits: tuple[Hit, ...] = ()

    @property
    def stopped(self) -> Hit | None:
        """Where the run would have ended; None when it would not."""
        return next((hit for hit in self.hits if _ends(hit)), None)

    @property
    def refused(self) -> tuple[Hit, ...]:
        """Calls that would not have been run, the one that ended it left out."""
        return tuple(hit for hit in self.hits if hit.refused and not _ends(hit))

    @property
    def warned(self) -> tuple[Hit, ...]:
        """Calls that would have been run with a remark."""
        return tuple(hit for hit in self.hits if not hit.refused)


class Line(Struct, frozen=True, kw_only=True):
    """What a policy would have done to many conversations; of each count, how many of them had succeeded."""

    policy: str
    conversations: int = 0
    succeeded: int = 0
    stopped: int = 0
    stopped_succeeded: int = 0
    refused: int = 0
    """Conversations in which calls were refused, whether or not they were stopped as well."""
    refused_succeeded: int = 0
    warned: int = 0
    warned_succeeded: int = 0
    calls_refused: int = 0
    """Calls refused as repetitions, over all conversations, those that ended one among them."""
    calls_changed: int = 0
    """Those among them whose recorded result was a new one: refused wrongly."""


def backtest(events: Iterable[Event], loops: Loops, fetch: Fetch | None = None) -> Tested:
    """What this policy would have done to one run."""
    detector = Detector(loops)
    places: dict[int, Place] = {}
    hits: list[Hit] = []
    calls = 0
    for moment in moments(events, fetch):
        if not isinstance(moment, Request):
            if moment.step in places:
                detector.answered(places.pop(moment.step), moment.settled)
        elif moment.agent_type != PERSON:
            calls += 1
            place, verdict = detector.ask(moment.name, moment.arguments, moment.at)
            detector.began(place, moment.step)
            places[moment.step] = place
            if verdict is not None:
                refused = isinstance(verdict, Refused)
                said = (verdict.mode, verdict.metric, verdict.used, verdict.threshold, verdict.evidence)
                hits.append(
                    Hit(moment.step, calls, moment.name, place.rule, *said, refused, _changed(place, moment, refused))
                )
                if _ends(hits[-1]):
                    break
    return Tested(calls, tuple(hits))


def succeeded(events: Iterable[Event]) -> bool | None:
    """Whether a run did what it was to do, by the scores it was given; None when nobody judged it."""
    points = [
        event.body.value
        for event in events
        if isinstance(event.body, Score) and event.body.name in JUDGED and event.body.target == 0
    ]
    found = [value for value in points if value is not None]
    return min(found) >= 1 if found else None


def tally(policy: str, conversations: Iterable[tuple[Iterable[Tested], bool | None]]) -> Line:
    """One line of a report: each conversation is the runs it is made of, and whether it succeeded."""
    counts = dict.fromkeys(Line.__struct_fields__[1:], 0)
    for runs, success in conversations:
        tested = list(runs)
        for name, is_so in (
            ("conversations", True),
            ("stopped", any(run.stopped for run in tested)),
            ("refused", any(run.refused for run in tested)),
            ("warned", any(run.warned for run in tested)),
        ):
            counts[name] += is_so
            also = "succeeded" if name == "conversations" else f"{name}_succeeded"
            counts[also] += is_so and success is True
        equal = [hit for run in tested for hit in run.hits if hit.refused and hit.changed is not None]
        counts["calls_refused"] += len(equal)
        counts["calls_changed"] += sum(hit.changed is True for hit in equal)
    return Line(policy=policy, **counts)


def _ends(hit: Hit) -> bool:
    return hit.refused and hit.mode not in ("block", "skip")


def _changed(place: Place, request: Request, refused: bool) -> bool | None:
    """Whether a refused repetition had another result than the call had before."""
    settled, before = request.settled, place.call.result
    if not refused or place.rule not in _EQUAL or settled is None or before is None:
        return None
    return result_of(settled.status, settled.error, settled.result) != before
