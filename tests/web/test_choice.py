from __future__ import annotations

from tachograph.events.content import inline
from tachograph.queries.answers.runs import overview
from tachograph.queries.diff.candidates import EACH, candidates, newest
from tachograph.queries.find import find
from tachograph.store.memory import MemoryStore
from tachograph.web import choice, links
from tests.queries.diff.scenes import FIND, kept, taped


def test_any_run_to_begin_with() -> None:
    """The newest runs, each leading to the choice of the other one; nothing where there are none."""
    store = MemoryStore()
    assert choice.of_first(newest(store)).groups == ()
    (run,) = kept(store, taped("a", FIND))
    found = choice.of_first(newest(store))
    assert [(chosen.run.id, chosen.address) for chosen in found.groups[0].runs] == [(run, f"/compare?left={run}")]
    assert (found.known, found.groups[0].more) == (None, "/runs")


def test_the_other_run_takes_the_side_that_is_free() -> None:
    """Groups in the order of likeness, and addresses that keep the known run where it is."""
    store = MemoryStore()
    origin = taped("a", FIND)
    metadata = inline(f'{{"forked_from": {{"run": "{origin.run}", "seq": 3}}}}')
    fork, same, alike = taped("b", FIND, metadata=metadata), taped("c", FIND), taped("d", FIND, session="s2")
    kept(store, origin, fork, same, alike)
    known = find(store, fork.run)
    for is_left, side in ((True, "A"), (False, "B")):
        found = choice.of_other(overview(known), candidates(store, known), is_left=is_left)
        assert (found.side, found.known and found.known.id) == (side, fork.run)
        assert [(group.title, [each.run.id for each in group.runs], group.more) for group in found.groups] == [
            ("The run that it was forked from", [origin.run], ""),
            ("Runs of the same session", [same.run], ""),
            ("Runs of clerk", [alike.run], ""),
        ]
        pair = (fork.run, same.run) if is_left else (same.run, fork.run)
        assert found.groups[1].runs[0].address == links.compare(*pair)


def test_more_than_are_shown_are_in_the_list_of_runs() -> None:
    """Where a group is full, it leads to the list of all of them; without an agent by name."""
    store = MemoryStore()
    tapes = [taped("a" * number, FIND) for number in range(1, EACH + 3)]
    tapes += [taped("alone" + "e" * number, session=None, agent_type=None) for number in range(EACH + 2)]
    kept(store, *tapes)
    for tape, more in ((tapes[0], "/runs?session_id=s1"), (tapes[-EACH - 2], "/runs?name=alone")):
        known = find(store, tape.run)
        found = choice.of_other(overview(known), candidates(store, known), is_left=True)
        assert found.groups[0].more == more
