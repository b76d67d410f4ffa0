from __future__ import annotations

from pathlib import Path

import msgspec

from tachograph.events.account import Account, Claim, Grant
from tachograph.queries.answers.heads import Beside, HistoryPoint, SessionCount, counts_of
from tachograph.queries.units import time
from tachograph.store.heads import open_heads
from tachograph.store.ledger import open_ledger
from tachograph.store.sessions.head import About, Changes, Point
from tests.contracts.accounts import HOUR, MINUTE, NOW
from tests.contracts.heads import KEY, taken


def test_a_head_is_told_as_it_stands(tmp_path: Path) -> None:
    """With who writes the next turn as long as he does, and the run under way."""
    heads = open_heads("memory:", tmp_path, "me", "process 7 on here", lambda _: True)
    head = taken(heads, about=About("ada", "web", {"report_id": "r"}))
    heads.commit(KEY, head.epoch, 0, Changes(Point("run-1", 7), "desk", {"n": 1}, 2), NOW + 1)
    heads.begin(KEY, head.epoch, "run-2")
    kept = heads.get(KEY)
    assert kept is not None
    assert msgspec.structs.asdict(Beside(heads, NOW).told(kept)) == {
        "session_id": "s", "tenant": "default", "status": "active", "agent": "desk", "version": 1,
        "history": HistoryPoint(run_id="run-1", seq=7), "state_version": 2, "user": "ada", "platform": "web",
        "refs": {"report_id": "r"}, "start_time": time(NOW), "updated_at": time(NOW + 1), "run_id": "run-2",
        "holder": "process 7 on here", "held_until": time(NOW + MINUTE),
    }  # fmt: skip
    later = Beside(heads, NOW + HOUR).of(KEY)
    assert later.head is not None
    assert later.state is not None
    assert (later.head.run_id, later.head.holder, later.head.held_until) == (None, None, None)
    assert (bytes(later.state), later.counts, Beside(heads, NOW).of(("t", "other")).head) == (b'{"n":1}', (), None)
    abroad = Beside(heads, NOW, inside=False).several([KEY, ("t", "other")])
    assert {key: head.holder for key, head in abroad.items()} == {KEY: "a process"}


def test_what_was_counted_is_told_in_its_unit(tmp_path: Path) -> None:
    """Over a day; of what nobody has counted nothing."""
    ledger = open_ledger("memory:", tmp_path, "me", lambda _: True)
    for of, amount in (("runs", 2), ("nano_usd", 70_000_000)):
        account = Account.of_session("t", "s", of)  # type: ignore[arg-type]  # both are counted
        granted = ledger.reserve((Claim(account, amount, 10**9),), NOW, NOW + HOUR)
        assert isinstance(granted, Grant)
        if of == "runs":
            ledger.settle(granted.id, (amount,), NOW)
    assert counts_of(ledger, "t", "s", NOW) == (
        SessionCount(of="runs", used=2, reserved=0, total=2, reset_at=None),
        SessionCount(of="usd", used=0, reserved=0.07, total=0, reset_at=None),
    )
    assert counts_of(ledger, "t", "other", NOW) == ()
