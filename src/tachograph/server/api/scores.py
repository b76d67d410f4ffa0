"""Judgements: what people, judges and rules think of runs, steps and sessions. To be read, and to be given."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.queries.answers.scores import NewScore, Scores, ScoresAsked, place, scores
from tachograph.record.after.audit import keep
from tachograph.record.after.feedback import feedback
from tachograph.server.endpoint import Ask, Endpoint


class Scored(Struct, frozen=True):
    """A score was kept."""

    id: Annotated[str, Meta(description="Of the run of its own in which it stands.")]
    run_id: Annotated[str, Meta(description="The run that it is about, or whose session it is about.")]
    execution_id: str


def _scores(ask: Ask) -> Scores:
    return scores(ask.store, ask.asked)


def _score(ask: Ask) -> Scored:
    found = place(ask.store, ask.read(NewScore))
    entropy = ask.service.clock.entropy(6)
    events = feedback(found.body, found.about, at=ask.now, entropy=entropy, user=ask.caller.name)
    with ask.service.turns.turn():
        keep(ask.service.store, ask.service.admitter, events)
    return Scored(events[0].run, found.about.run, found.about.execution_id)


ENDPOINTS = (
    Endpoint(
        name="list_scores", path="/api/scores", tag="scores", handler=_scores, asks=ScoresAsked, gives=Scores,
        about="Scores and feedback, newest first. Of runs, of model calls and other steps, of sessions.",
    ),
    Endpoint(
        name="give_score", method="POST", path="/api/scores", tag="scores", handler=_score, takes=NewScore,
        gives=Scored, scope="write", status=201, problems=(404,),
        about="Score a run, a step of it or a session. As a user, a judge or a rule; also while the run goes on.",
    ),
)  # fmt: skip
