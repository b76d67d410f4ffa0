from __future__ import annotations

from tachograph.compose import admitter_for, scrubber_for
from tachograph.events.note import Score
from tachograph.record.after.audit import keep
from tachograph.record.after.feedback import About, feedback
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.query import Query
from tests.contracts.kept import call_run
from tests.queries.kept import batch

ABOUT = About(run="r", execution_id="exec_1", tenant="blue", session="s1")
AT = 1_700_000_000_000_000_000


def test_a_score_is_a_run_below_the_one_it_is_about() -> None:
    """It begins, says the score and ends, with the execution, tenant and session of the run that it is about."""
    start, score, end = feedback(Score(name="thumb", value=1.0), ABOUT, at=AT, entropy=b"123456", user="ada")
    opening = start.body
    facts = (opening.source, opening.parent_run, opening.execution_id, opening.tenant, opening.session, opening.user)
    assert facts == ("audit", "r", "exec_1", "blue", "s1", "ada")
    assert (score.body, end.body.status) == (Score(name="thumb", value=1.0), "completed")
    assert [(event.run, event.seq, event.at) for event in (start, score, end)] == [
        (start.run, place, AT) for place in range(3)
    ]


def test_its_words_are_scrubbed_as_all_others() -> None:
    """What a person writes may hold a secret too: it is masked before it is stored."""
    store = MemoryStore()
    settings = Settings(store="memory:")
    secret = "sk-" + "a1B2" * 12
    events = feedback(Score(name="note", comment=f"my key is {secret}"), ABOUT, at=AT, entropy=b"123456")
    keep(store, admitter_for(settings, store, scrubber_for(settings)), events)
    [row] = store.find(Query("scores", columns=("comment",))).rows
    assert secret not in row["comment"]
    assert "[redacted:" in row["comment"]


def test_it_counts_in_no_session_and_no_sum() -> None:
    """A session has as many runs with feedback as without, and no step stands for it."""
    store = MemoryStore()
    store.append(batch(call_run().events))
    before = {table: store.find(Query(table)).rows for table in ("sessions", "steps")}
    settings = Settings(store="memory:")
    events = feedback(Score(name="thumb", value=1.0), ABOUT, at=AT, entropy=b"123456")
    keep(store, admitter_for(settings, store, scrubber_for(settings)), events)
    assert {table: store.find(Query(table)).rows for table in ("sessions", "steps")} == before
