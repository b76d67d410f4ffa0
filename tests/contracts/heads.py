"""What every place for heads does, shown on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from tachograph.errors import SessionClosed, SessionConflict, SessionHandedOff
from tachograph.store.sessions.head import About, Changes, Head, Held, Key, Point, Taken
from tachograph.store.sessions.heads import STALE, Heads
from tachograph.store.sessions.port import Cabinet
from tests.contracts.accounts import HOUR, MINUTE, NOW, SECOND

KEY: Key = ("default", "s")


class HeadsContract:
    """A cabinet of its own for each test; `desk` is a process over it, and `living` who of them lives."""

    def cabinet(self, folder: Path) -> Cabinet:
        """An empty cabinet; it may use `folder`."""
        raise NotImplementedError

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Cabinet]:
        """An empty cabinet."""
        cabinet = self.cabinet(tmp_path)
        yield cabinet
        cabinet.close()

    @pytest.fixture
    def living(self) -> set[str]:
        """The processes that live."""
        return {"a", "b", "c"}

    def desk(self, cabinet: Cabinet, living: set[str], name: str) -> Heads:
        """The heads, for the process of this name."""
        return Heads(cabinet, name, f"process {name}", living.__contains__)

    @pytest.fixture
    def a(self, opened: Cabinet, living: set[str]) -> Heads:
        """One process."""
        return self.desk(opened, living, "a")

    @pytest.fixture
    def b(self, opened: Cabinet, living: set[str]) -> Heads:
        """Another."""
        return self.desk(opened, living, "b")

    def test_a_session_begins_with_its_first_lease(self, a: Heads) -> None:
        """Nothing is there before; then an active head with nothing said, and what the program says of it."""
        assert (a.get(KEY), a.newest(), a.several([KEY])) == (None, [], {})
        head = taken(a, about=About("u", "whatsapp", {"report_id": "r"}))
        assert head.lease is not None
        assert structs.replace(head, lease=None, epoch=0) == Head(
            tenant="default", id="s", user="u", platform="whatsapp", refs={"report_id": "r"}, created_at=NOW,
            updated_at=NOW,
        )  # fmt: skip
        assert (head.lease.holder, head.lease.since, head.lease.until) == ("process a", NOW, NOW + MINUTE)
        assert (a.get(KEY), a.several([KEY, ("other", "s")])) == (head, {KEY: head})

    def test_one_writer_at_a_time(self, a: Heads, b: Heads) -> None:
        """Who comes second waits, with a ticket, until the lease is given back."""
        head = taken(a)
        held = b.acquire(KEY, NOW + 1, MINUTE)
        assert isinstance(held, Held)
        assert held.lease == head.lease
        assert b.acquire(KEY, NOW + 2, MINUTE, ticket=held.ticket) == held
        assert a.release(KEY, head.epoch)
        assert not a.release(KEY, head.epoch)
        assert taken(b, NOW + 3, ticket=held.ticket).waiting == ()

    def test_who_came_first_goes_first(self, a: Heads, b: Heads) -> None:
        """A free lease is not given to a third while somebody waits; a ticket that was withdrawn keeps nobody out."""
        head = taken(a)
        first, second = waits(b), waits(a)
        a.release(KEY, head.epoch)
        assert isinstance(a.acquire(KEY, NOW + 1, MINUTE, ticket=second), Held)
        assert isinstance(b.acquire(KEY, NOW + 1, MINUTE), Held)
        b.withdraw(KEY, first)
        assert isinstance(a.acquire(KEY, NOW + 1, MINUTE, ticket=second), Taken)

    def test_a_ticket_without_a_sign_is_passed_over(self, a: Heads, b: Heads, living: set[str]) -> None:
        """Of one who has not asked for two seconds, or who is dead."""
        head = taken(a)
        waits(b)
        a.release(KEY, head.epoch)
        held = a.acquire(KEY, NOW + STALE - 1, MINUTE)
        assert isinstance(held, Held)
        living.discard("b")
        again = taken(a, NOW + STALE - 1, ticket=held.ticket)
        living.add("b")
        waits(b)
        a.release(KEY, again.epoch)
        assert isinstance(a.acquire(KEY, NOW + STALE, MINUTE), Taken)

    def test_a_dead_owner_is_replaced_at_once(self, a: Heads, b: Heads, living: set[str]) -> None:
        """His unfinished runs are told to who comes next, and he can write nothing any more."""
        head = taken(a)
        a.begin(KEY, head.epoch, "run-1")
        living.discard("a")
        found = b.acquire(KEY, NOW + 1, MINUTE)
        assert isinstance(found, Taken)
        assert (found.before, found.head.unfinished) == (head.lease, ("run-1",))
        with pytest.raises(SessionConflict, match="process b has it now"):
            a.commit(KEY, head.epoch, 0, Changes(), NOW + 2)
        with pytest.raises(SessionConflict, match="the lease was lost"):
            a.begin(KEY, head.epoch, "run-2")

    def test_a_lease_that_is_not_renewed_ends(self, a: Heads, b: Heads) -> None:
        """By its time; renewed it lasts, and one that nobody took can be renewed late."""
        head = taken(a)
        leases = {KEY: head.epoch}
        assert a.renew(leases, NOW + MINUTE + 1, MINUTE) == {KEY: "held"}
        held = b.acquire(KEY, NOW + 2 * MINUTE, MINUTE)
        assert isinstance(held, Held)
        assert isinstance(b.acquire(KEY, NOW + 2 * MINUTE + 1, MINUTE, ticket=held.ticket), Taken)
        assert (a.renew(leases, NOW + 2 * MINUTE + 2, MINUTE), a.fates(leases)) == ({KEY: "lost"}, {KEY: "lost"})

    def test_an_owner_whom_nobody_can_see_is_believed_until_his_time_is_over(self, opened: Cabinet) -> None:
        """Without a name, its time alone ends a lease."""
        nameless, other = Heads(opened, "", "", lambda _: False), Heads(opened, "b", "", lambda _: False)
        taken(nameless)
        held = other.acquire(KEY, NOW + MINUTE - 1, MINUTE)
        assert isinstance(held, Held)
        assert isinstance(other.acquire(KEY, NOW + MINUTE, MINUTE, ticket=held.ticket), Taken)

    def test_what_is_committed_is_there(self, a: Heads) -> None:
        """What changes, changes; the rest stays. The version is raised, and what was unfinished is done."""
        head = taken(a)
        a.begin(KEY, head.epoch, "run-1")
        assert running(a) == "run-1"
        changes = Changes(history=Point("run-1", 7), agent="desk", state={"n": [1, None]}, state_version=3)
        found = a.commit(KEY, head.epoch, 0, changes, NOW + SECOND)
        assert found == structs.replace(
            head, history=Point("run-1", 7), agent="desk", state={"n": [1, None]}, state_version=3, version=1,
            updated_at=NOW + SECOND,
        )  # fmt: skip
        assert a.commit(KEY, head.epoch, 1, Changes(agent=None), NOW).agent is None
        assert (a.get(KEY) or found).history == Point("run-1", 7)

    def test_who_did_not_see_the_last_writes_nothing(self, a: Heads) -> None:
        """Another version than the one that was read is a conflict; nothing is changed by it."""
        head = taken(a)
        a.commit(KEY, head.epoch, 0, Changes(agent="one"), NOW)
        with pytest.raises(SessionConflict, match="version 1, not 0"):
            a.commit(KEY, head.epoch, 0, Changes(agent="two"), NOW)
        assert (a.get(KEY) or head).agent == "one"

    def test_what_was_not_committed_is_no_part_of_it(self, a: Heads) -> None:
        """A turn that is given back without a commit leaves no unfinished run."""
        head = taken(a)
        a.begin(KEY, head.epoch, "run-1")
        a.release(KEY, head.epoch)
        assert a.get(KEY) == structs.replace(head, lease=None)
        again = taken(a)
        a.commit(KEY, again.epoch, 0, Changes(unfinished=("old",)), NOW)
        a.release(KEY, again.epoch, ("old",))
        assert taken(a).unfinished == ("old",)

    def test_a_newer_message_asks_the_turn_to_end(self, a: Heads, b: Heads) -> None:
        """The lease says so to its holder, who can still commit; the next lease is a fresh one."""
        head = taken(a)
        held = b.acquire(KEY, NOW, MINUTE, supersede=True)
        assert isinstance(held, Held)
        leases = {KEY: head.epoch}
        assert (a.fates(leases), a.renew(leases, NOW, MINUTE)) == ({KEY: "superseded"}, {KEY: "superseded"})
        a.commit(KEY, head.epoch, 0, Changes(), NOW)
        a.release(KEY, head.epoch)
        fresh = taken(b, ticket=held.ticket)
        assert b.fates({KEY: fresh.epoch}) == {KEY: "held"}

    def test_who_waits_can_change_his_mind(self, a: Heads, b: Heads) -> None:
        """A ticket that waited may supersede; a turn that begins meanwhile is superseded when it has the lease."""
        head = taken(a)
        ticket = waits(b)
        assert a.fates({KEY: head.epoch}) == {KEY: "held"}
        b.acquire(KEY, NOW, MINUTE, ticket=ticket, supersede=True)
        assert a.fates({KEY: head.epoch}) == {KEY: "superseded"}

    def test_a_closed_session_takes_no_turns(self, a: Heads, b: Heads) -> None:
        """Nor one that a person has, unless that is said; a turn under way may end. It is reopened."""
        assert (a.close_session(KEY, NOW), a.reopen(KEY, NOW), a.reset(KEY, NOW)) == (None, None, None)
        head = taken(a)
        ticket = waits(b)
        assert (a.close_session(KEY, NOW) or head).status == "closed"
        with pytest.raises(SessionClosed):
            b.acquire(KEY, NOW, MINUTE, ticket=ticket)
        assert a.commit(KEY, head.epoch, 0, Changes(agent="x", status="handed_off"), NOW).status == "closed"
        a.release(KEY, head.epoch)
        assert (a.reopen(KEY, NOW + 1) or head).status == "active"
        b.withdraw(KEY, ticket)
        again = taken(a)
        a.commit(KEY, again.epoch, 1, Changes(status="handed_off"), NOW)
        a.release(KEY, again.epoch)
        with pytest.raises(SessionHandedOff):
            b.acquire(KEY, NOW, MINUTE)
        assert isinstance(b.acquire(KEY, NOW, MINUTE, handed_off=True), Taken)

    def test_a_reset_begins_anew(self, a: Heads) -> None:
        """Without history and state, if asked; then the turn under way is lost. Without either it is only active."""
        head = taken(a)
        a.commit(KEY, head.epoch, 0, Changes(Point("r", 1), "desk", {"n": 1}, 2, "handed_off"), NOW)
        kept = a.reset(KEY, NOW, history=False, state=False)
        assert kept is not None
        assert (kept.status, kept.history, kept.version, kept.lease is None) == ("active", Point("r", 1), 1, False)
        half = a.reset(KEY, NOW, state=False)
        assert half is not None
        assert (half.history, half.agent, half.state, half.version, half.lease) == (None, None, {"n": 1}, 2, None)
        whole = a.reset(KEY, NOW)
        assert whole is not None
        assert (whole.state, whole.state_version, whole.version) == ({}, 0, 3)
        with pytest.raises(SessionConflict, match="it was reset"):
            a.commit(KEY, head.epoch, 1, Changes(), NOW)

    def test_heads_are_listed_newest_first(self, a: Heads) -> None:
        """All, one tenant's, or those that stand so; some at a time."""
        for number, key in enumerate([("x", "1"), ("y", "2"), ("x", "3")]):
            taken(a, NOW + number, key=key)
        a.close_session(("x", "1"), NOW + HOUR)
        assert ids(a.newest()) == ["1", "3", "2"]
        assert ids(a.newest(limit=1, offset=1)) == ["3"]
        assert (ids(a.newest(tenant="x")), ids(a.newest(status="closed"))) == (["1", "3"], ["1"])
        assert ids(a.newest(tenant="y", status="closed")) == []

    def test_heads_of_erased_runs_are_forgotten(self, a: Heads) -> None:
        """Their state goes with them; the lease of a turn under way is lost, and is never given twice."""
        first = taken(a)
        a.commit(KEY, first.epoch, 0, Changes(history=Point("r1", 1), state={"name": "Ada"}), NOW)
        taken(a, key=("x", "other"))
        assert (a.forget(["r2"]), a.forget([])) == (0, 0)
        assert a.forget(["r0", "r1"]) == 1
        assert (a.get(KEY), ids(a.newest())) == (None, ["other"])
        with pytest.raises(SessionConflict, match="it was erased"):
            a.commit(KEY, first.epoch, 1, Changes(), NOW)
        assert taken(a, NOW + 5).epoch > first.epoch

    def test_who_holds_it_is_told_as_long_as_he_does(self, a: Heads, b: Heads, living: set[str]) -> None:
        """A lease whose time is over, or whose owner is dead, holds nothing."""
        head = taken(a)
        assert (b.holds(head, NOW), b.holds(head, NOW + MINUTE)) == (head.lease, None)
        living.discard("a")
        assert b.holds(head, NOW) is None


def taken(heads: Heads, now: int = NOW, *, key: Key = KEY, ticket: int | None = None, about: About = About()) -> Head:  # noqa: B008 - a frozen value
    """The head with a lease, which must be free."""
    found = heads.acquire(key, now, MINUTE, ticket=ticket, about=about)
    assert isinstance(found, Taken)
    return found.head


def waits(heads: Heads) -> int:
    """A ticket for a session that somebody has."""
    held = heads.acquire(KEY, NOW, MINUTE)
    assert isinstance(held, Held)
    return held.ticket


def running(heads: Heads) -> str | None:
    """The run under way."""
    head = heads.get(KEY)
    return None if head is None else head.run


def ids(found: object) -> list[str]:
    """The sessions of heads, in order."""
    assert isinstance(found, list)
    return [head.id for head in found]
