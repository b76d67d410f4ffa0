from __future__ import annotations

from tachograph.events.content import inline
from tachograph.queries.diff.candidates import EACH, candidates, newest
from tachograph.queries.find import find
from tachograph.store.ports import Store
from tests.queries.diff.scenes import FIND, kept, taped
from tests.strategies import Tape


def _fork(name: str, of: Tape) -> Tape:
    return taped(name, FIND, metadata=inline(f'{{"forked_from": {{"run": "{of.run}", "seq": 3}}}}'))


def test_runs_that_are_alike(store: Store) -> None:
    """The run it was forked from, then those of its session, then those of its agent; each once, newest first."""
    origin = taped("a")
    fork = _fork("b", origin)
    others = (taped("c"), taped("d"), taped("e", session="s2"), taped("f", session="s2", agent_type="other"))
    kept(store, origin, fork, *others)
    found = candidates(store, find(store, fork.run))
    assert found.origin is not None
    assert (found.origin.id, [run.name for run in found.of_session], [run.name for run in found.of_agent]) == (
        origin.run, ["d", "c"], ["e"],
    )  # fmt: skip


def test_a_run_without_session_and_agent(store: Store) -> None:
    """Runs of the same name are alike then; another tenant's session of the same id is another session."""
    kept(
        store,
        taped("a", session=None, agent_type=None),
        taped("other"),
        taped("c", tenant="blue"),
        taped("aa", session=None, agent_type=None),
    )
    alone = candidates(store, find(store, taped("a").run))
    assert (alone.origin, alone.of_session, [run.name for run in alone.of_agent]) == (None, (), ["aa"])
    assert [run.name for run in candidates(store, find(store, taped("c").run)).of_session] == []


def test_an_origin_that_is_gone(store: Store) -> None:
    """A fork whose origin was erased has none to choose."""
    fork = _fork("b", taped("a"))
    kept(store, fork)
    assert candidates(store, find(store, fork.run)).origin is None


def test_a_few_of_many(store: Store) -> None:
    """No more than so many of each kind; without any run, the newest that no other run started."""
    tapes = [taped("a" * number) for number in range(1, EACH + 4)]
    kept(store, *tapes, taped("zz", parent_run=tapes[0].run, parent_step=0))
    assert len(candidates(store, find(store, tapes[0].run)).of_session) == EACH
    assert [run.id for run in newest(store)] == [tape.run for tape in tapes[: -EACH - 1 : -1]]
