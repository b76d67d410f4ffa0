from __future__ import annotations

from typing import Any

import pytest

from tachograph.record.after.audit import audit
from tachograph.store.ports import Batch, Store
from tachograph.store.query import Query
from tachograph.upkeep.choose import families
from tachograph.upkeep.rule import Rule
from tests.strategies import Tape
from tests.upkeep.kept import BEGAN, DAY, NOW, SECOND, desk, put


def chosen(store: Store, now: int = NOW, **facts: Any) -> list[list[str]]:
    """Names of the runs of each family that a rule takes."""
    every = store.find(Query("runs", columns=("id", "name"), limit=None)).rows
    by_id = {row["id"]: row["name"] for row in every}
    return [[by_id[run["id"]] for run in family.runs] for family in families(store, Rule(name="r", **facts), now)]


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({"older_than": DAY}, [["old"], ["failed"], ["tagged"], ["acme's"]]),
        ({"older_than": 98 * DAY}, [["old"], ["failed"]]),
        ({"older_than": 101 * DAY}, []),
        ({"status": ("failed",)}, [["failed"]]),
        ({"status": ("failed", "completed"), "tenant": "acme"}, [["acme's"]]),
        ({"tag": "red"}, [["tagged"]]),
        ({"tag": "red", "older_than": 98 * DAY}, []),
        ({"tag": "red", "keep_tag": "blue"}, []),
        ({"tag": "keep", "keep_tag": "blue"}, [["kept"]]),
    ],
)
def test_a_rule_takes_what_meets_all_its_conditions(
    store: Store, facts: dict[str, Any], names: list[list[str]]
) -> None:
    """Age, status, tag and tenant together, oldest first; never an open run, never one with the tag that keeps."""
    put(
        store,
        desk("old", BEGAN),
        desk("failed", BEGAN + DAY, end="failed"),
        desk("open", BEGAN + DAY, end=None),
        desk("waits", BEGAN + DAY, end="paused"),
        desk("tagged", BEGAN + 3 * DAY, tags=("red", "blue")),
        desk("kept", BEGAN + 3 * DAY, tags=("keep",)),
        desk("acme's", BEGAN + 4 * DAY, tenant="acme"),
        desk("new", NOW - SECOND),
    )
    assert chosen(store, **facts) == names


def test_a_family_goes_as_one(store: Store) -> None:
    """What a run started goes before it, the deepest first; a child is never asked by itself."""
    top = desk("top", BEGAN)
    child = desk("child", BEGAN + 1, parent_run=top.run, parent_step=0)
    put(store, top, child, desk("grandchild", BEGAN + 2, parent_run=child.run), desk("other", BEGAN + 3))
    assert chosen(store, older_than=DAY) == [["grandchild", "child", "top"], ["other"]]
    assert chosen(store, tag="no such tag") == []


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"end": None}, "open"),
        ({"tags": ("keep",)}, "kept"),
        ({"at": NOW - SECOND}, "too young"),
    ],
)
def test_one_that_stays_keeps_its_family(store: Store, facts: dict[str, Any], why: str) -> None:
    """A child that is open, kept or too young holds those above it; and the child of a kept run is kept."""
    top = desk("top", BEGAN)
    child = desk(why, **{"at": BEGAN + 1, **facts}, parent_run=top.run)
    put(store, top, child, desk("grandchild", BEGAN + 2, parent_run=child.run))
    assert chosen(store, older_than=DAY) == []


def test_a_run_is_as_old_as_its_end(store: Store) -> None:
    """One that began long ago and has only just ended is new."""
    tape = Tape("long", at=BEGAN)
    tape.begin("long")
    tape.wait(99 * DAY)
    tape.finish()
    put(store, tape)
    assert chosen(store, older_than=2 * DAY) == []
    assert chosen(store, older_than=DAY // 2) == [["long"]]


def test_a_run_whose_parent_is_elsewhere_stands_alone(store: Store) -> None:
    """A parent that this store never had, or has no more, keeps nothing; nor does a run that names itself."""
    selfish = desk("selfish", BEGAN + 1)
    selfish = desk("selfish", BEGAN + 1, parent_run=selfish.run)
    put(store, desk("orphan", BEGAN, parent_run="0195c3a2-0000-7000-8000-000000000000"), selfish)
    assert chosen(store, older_than=DAY) == [["orphan"], ["selfish"]]


def test_a_family_ends_where_the_tenant_changes(store: Store) -> None:
    """A run that names another tenant's as its parent goes by itself, neither taken along by it nor keeping it."""
    red = desk("red", BEGAN, tenant="red")
    below = desk("red's child", BEGAN + 1, tenant="red", parent_run=red.run)
    blue = desk("blue", BEGAN + 2, tenant="blue", parent_run=below.run)
    again = desk("red again", BEGAN + 3, tenant="red", parent_run=blue.run)
    put(store, red, below, blue, again, desk("blue's open", BEGAN + 4, tenant="blue", parent_run=red.run, end=None))
    assert chosen(store, older_than=DAY, tenant="red") == [["red's child", "red"], ["red again"]]
    assert chosen(store, older_than=DAY, tenant="blue") == [["blue"]]
    assert chosen(store, older_than=DAY) == [["red's child", "red"], ["blue"], ["red again"]]


def test_audit_runs_are_only_taken_by_their_own_rules(store: Store) -> None:
    """A rule about runs never takes the record of what was done, and a rule about that takes nothing else."""
    put(store, desk("old", BEGAN))
    store.append(Batch(audit("pruned", {"runs": 1}, at=BEGAN, entropy=bytes(6))))
    assert chosen(store, older_than=DAY) == [["old"]]
    assert chosen(store, older_than=DAY, audits=True) == [["pruned"]]


def test_many_runs_come_page_by_page(store: Store) -> None:
    """More families than fit one page, erased while they come: each is seen once."""
    put(store, *(desk(f"{number:03}", BEGAN + number) for number in range(250)))
    seen = []
    for family in families(store, Rule(name="r", older_than=DAY), NOW):
        [run] = family.runs
        seen.append(run["id"])
        store.erase([run["id"]], NOW)
    assert (len(seen), len(set(seen))) == (250, 250)
    assert chosen(store, older_than=DAY) == []
