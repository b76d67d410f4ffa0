"""Runs: which there are, and one of them as a tree, as events, as a conversation, and as a receipt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.queries.answers.receipts import RunReceipt, receipt_of
from tachograph.queries.answers.run_events import RunEvents, RunEventsAsked, run_events
from tachograph.queries.answers.runs import Runs, RunsAsked, listed
from tachograph.queries.answers.transcripts import CallTranscript, TranscriptAsked, call_transcript
from tachograph.queries.answers.tree import RunTree, RunTreeAsked, run_tree
from tachograph.queries.find import find
from tachograph.server.endpoint import Answer, Ask, Endpoint, matches

_TAG = "runs"


def _runs(ask: Ask) -> Runs:
    return listed(ask.store, ask.asked)


def _tree(ask: Ask) -> RunTree:
    return run_tree(ask.store, ask.path["run"], ask.asked)


def _whole(ask: Ask, run: str) -> Iterable[Event]:
    return ask.store.read(run)


def _asked(ask: Ask, run: str) -> Iterable[Event]:
    return ask.store.read(run, ask.asked.after, ask.asked.limit)


def _of_log(
    answer: Callable[[Ask, str], Any], events: Callable[[Ask, str], Iterable[Event]] = _whole
) -> Callable[[Ask], Answer]:
    """A handler whose answer follows from these events of the run's log, and from how many there are in all."""

    def handler(ask: Ask) -> Answer:
        run = find(ask.store, ask.path["run"])
        # What they say, not only how many: an import may replace a run by as many others.
        content = blake2b(digest_size=16)
        for event in events(ask, run.id):
            content.update(codec.encode(event))
        etag = f'"{run.id}-{run.events}-{content.hexdigest()}"'
        had = matches(ask.headers.get("if-none-match"), etag)
        return Answer(None if had else answer(ask, run.id), etag=etag)

    return handler


_RUN = "`run` is a run id, an execution id, the first digits of either, or `last`."
ENDPOINTS = (
    Endpoint(
        name="list_runs", path="/api/runs", tag=_TAG, handler=_runs, asks=RunsAsked, gives=Runs,
        about="Runs, newest first. Each with its totals: calls, tokens, cost, errors, interventions.",
    ),
    Endpoint(
        name="get_run", path="/api/runs/{run}", tag=_TAG, handler=_tree, asks=RunTreeAsked, gives=RunTree,
        about=f"One run as a tree. Its steps and those of the runs it started, with what each adds up to. {_RUN}",
    ),
    Endpoint(
        name="get_run_events", path="/api/runs/{run}/events", tag=_TAG, asks=RunEventsAsked, gives=RunEvents,
        handler=_of_log(lambda ask, run: run_events(ask.store, run, ask.asked), _asked),
        about=f"The events of a run from a number on. Without gaps, with their content. {_RUN}",
    ),
    Endpoint(
        name="get_run_transcript", path="/api/runs/{run}/transcript", tag=_TAG, asks=TranscriptAsked,
        gives=CallTranscript, handler=_of_log(lambda ask, run: call_transcript(ask.store, run, ask.asked)),
        about=f"What the model saw and said at one call. Without a call: at the run's last one. {_RUN}",
    ),
    Endpoint(
        name="get_run_receipt", path="/api/runs/{run}/receipt", tag=_TAG, gives=RunReceipt,
        handler=_of_log(lambda ask, run: receipt_of(ask.store, run)),
        about=f"Whether everything of a run was recorded, and all that is not as it was. {_RUN}",
    ),
)  # fmt: skip
