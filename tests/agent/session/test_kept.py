from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given

from tachograph.agent.session.kept import state_of, storable
from tachograph.agent.session.session import Session
from tachograph.compose import System
from tachograph.errors import SettingsError, StateMismatch
from tachograph.store.sessions.head import Head
from tests.agent.running import agent
from tests.store.sessions.test_head import JSON

HEAD = Head(tenant="t", id="s", created_at=1, updated_at=1, state={"name": "Ada"}, state_version=2)


@given(value=JSON)
def test_a_state_is_read_back_as_it_was_given(value: object) -> None:
    """Whatever JSON can say."""
    assert storable({"value": value}) == {"value": value}


@pytest.mark.parametrize(
    "wrong", [{"n": (1, 2)}, {"n": float("nan")}, {"n": float("inf")}, {1: "n"}, {"n": {1}}, {"n": date(2025, 1, 1)},
              {"n": object()}, ["n"], None]
)  # fmt: skip
def test_what_json_would_change_is_refused(wrong: Any) -> None:
    """Tuples, keys that are no text, dates, NaN, and what is no object: a round trip must lose nothing."""
    with pytest.raises(SettingsError, match="the same after writing and reading"):
        storable(wrong)


def test_an_older_state_is_upgraded_and_a_newer_one_refused() -> None:
    """By the function that the application gives; without one an older state is refused too."""
    asked = []

    def upgrade(state: dict[str, Any], version: int) -> dict[str, Any]:
        asked.append(version)
        return {"names": [state["name"]]}

    assert (state_of(HEAD, 2, None), state_of(HEAD, 3, upgrade), asked) == ({"name": "Ada"}, {"names": ["Ada"]}, [2])
    with pytest.raises(StateMismatch, match="version 2, not 3: give an upgrade function"):
        state_of(HEAD, 3, None)
    with pytest.raises(StateMismatch, match="version 2, not 1: upgrade the program"):
        state_of(HEAD, 1, upgrade)


@pytest.mark.anyio
async def test_a_session_keeps_its_state(system: System) -> None:
    """As a turn has left it; an upgraded one is written in the new version; a refused turn gives the lease back."""
    old = Session("s")
    await old.ask(agent(["a"]), "x", state={"n": 1})
    async with old.turn() as turn:
        assert turn.state == {"n": 1}
        await turn.commit(await turn.run(agent(["b"]), "y"), state={})
    await old.ask(agent(["c"]), "z", state={"n": 3})
    new = Session("s", state_version=2, upgrade=lambda state, version: {"m": state["n"]})
    await new.ask(agent(["d"]), "x")
    head = new.head()
    assert head is not None
    assert (head.state, head.state_version) == ({"m": 3}, 2)
    with pytest.raises(StateMismatch):
        await old.ask(agent([]), "x")
    with pytest.raises(SettingsError, match="state="):
        await new.ask(agent(["e"]), "x", state={"n": (1,)})
    assert (new.head() or head).lease is None
