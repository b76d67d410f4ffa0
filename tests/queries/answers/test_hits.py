from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.queries.answers.hits import SearchAsked, search_hits
from tachograph.store.ports import Store
from tachograph.store.scoped import Scoped
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, as_json, planner
from tests.strategies import Tape


def test_messages_that_contain_a_text(store: Store) -> None:
    """A hit says who said it, when, in which run, and where in the words around it the match is."""
    store.append(batch(planner().events))
    hit = {
        "run_id": RUN, "execution_id": EXECUTION, "run_name": "plan", "session_id": "s1", "seq": 1,
        "time": "2025-06-15T15:06:41Z", "role": "user", "text": "Create a sales dashboard", "start": 9, "stop": 14,
    }  # fmt: skip
    assert as_json(search_hits(store, SearchAsked(text="SALES"))) == {"hits": [hit]}
    assert as_json(search_hits(store, SearchAsked(text="weather"))) == {"hits": []}


def test_one_tenant(store: Store) -> None:
    """Asked through one tenant's part of the store, others are not searched."""
    tape = Tape("theirs")
    tape.begin(tenant="acme")
    tape.say("user", '"sales"')
    store.append(batch(planner().events, tape.events))
    assert len(search_hits(store, SearchAsked(text="sales")).hits) == 2
    (hit,) = search_hits(Scoped(store, "acme"), SearchAsked(text="sales")).hits
    assert (hit.run_id, hit.text) == (tape.run, "sales")


@pytest.mark.parametrize("asked", [{}, {"text": ""}, {"text": "x", "limit": 0}, {"text": "x", "limit": 201}], ids=str)
def test_what_cannot_be_asked(asked: dict[str, Any]) -> None:
    """There must be a text, and a limit within bounds."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(asked, SearchAsked)
