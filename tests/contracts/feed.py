"""What every store tells about what came in, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.envelope import Event
from tachograph.store.ports import Batch, Stretch
from tachograph.store.query import Query
from tachograph.store.rows import KeyRow
from tests.contracts.kept import EXAMPLES, Contract, call_run
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape, batches

LATER = BEGAN + 10**16


class FeedContract(Contract):
    """What came in is told once, in order; keys stand beside the log; a tenant sees its own."""

    @EXAMPLES
    @given(events=batches(), data=st.data())
    def test_the_feed_tells_every_event_once(self, events: Sequence[Event], data: st.DataObject) -> None:
        """Read in steps of any size between appends, stretches add up to each run's events, without gap or double."""
        with self.fresh() as store:
            told: dict[str, int] = {event.run: 0 for event in events}
            seen = cut = 0
            while cut < len(events):
                size = data.draw(st.integers(1, 12))
                store.append(batch(events[max(0, cut - 1) : cut + size]))
                cut += size
                for stretch in store.appended(seen, data.draw(st.integers(1, 3))):
                    assert stretch.id > seen
                    assert stretch.first == told[stretch.run]
                    seen, told[stretch.run] = stretch.id, stretch.first + stretch.count
            for stretch in store.appended(seen):
                assert stretch.first == told[stretch.run]
                seen, told[stretch.run] = stretch.id, stretch.first + stretch.count
            assert told == {run: store.next_seq(run) for run in told}
            assert seen == store.head()

    def test_the_feed_begins_empty(self, store: Any) -> None:
        """Nothing has come in: no stretch, and 0 to go on from; a batch without events adds none."""
        assert (store.head(), list(store.appended(0))) == (0, [])
        store.append(Batch())
        assert store.head() == 0

    def test_runs_that_are_gone_are_not_told(self, store: Any) -> None:
        """Stretches of erased and replaced runs are left out; ids are never given again."""
        one, two = call_run("one"), call_run("two")
        store.append(batch(one.events[:2], two.events[:3]))
        assert list(store.appended(0)) == [Stretch(1, one.run, 0, 2), Stretch(2, two.run, 0, 3)]
        store.append(batch(two.events[:4], replace=[two.run]))
        assert list(store.appended(0)) == [Stretch(1, one.run, 0, 2), Stretch(3, two.run, 0, 4)]
        store.append(batch(one.events[2:]))
        store.erase([one.run], LATER)
        assert list(store.appended(0)) == [Stretch(3, two.run, 0, 4)]
        assert store.head() == 4
        store.append(batch(two.events[4:]))
        assert list(store.appended(3)) == [Stretch(5, two.run, 4, len(two.events) - 4)]
        assert list(store.appended(0, limit=1)) == [Stretch(3, two.run, 0, 4)]

    def test_the_feed_is_bounded(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Refreshing forgets the oldest stretches; the newest stay, and ids go on."""
        for module in ("memory", "sqlite.store"):
            monkeypatch.setattr(f"tachograph.store.{module}.KEPT_STRETCHES", 3)
        tape = call_run()
        for event in tape.events:
            store.append(batch([event]))
        store.refresh(LATER)
        count = len(tape.events)
        assert [stretch.first for stretch in store.appended(0)] == list(range(count - 3, count))
        tape.finish()
        store.append(batch(tape.events[-1:]))
        assert store.head() == count + 1

    def test_a_tenants_own(self, store: Any) -> None:
        """Feed, contents and search can be asked for one tenant: what only others name is not there."""
        tapes = {tenant: Tape(tenant) for tenant in ("acme", "globex")}
        for tenant, tape in tapes.items():
            tape.begin(tenant=tenant)
            shared = tape.say("system", {"role": "system", "content": "answer in brief"})
            tape.say("user", {"role": "user", "content": f"an answer for {tenant}"}, shared)
        sent = batch(*(tape.events for tape in tapes.values()))
        store.append(sent)
        for tenant, tape in tapes.items():
            own = batch(tape.events)
            assert [stretch.run for stretch in store.appended(0, tenant=tenant)] == [tape.run]
            assert store.fetch(list(sent.payloads), tenant) == own.payloads
            assert [(hit["run_id"], hit["seq"]) for hit in store.search("ANSWER", tenant=tenant)] == [
                (tape.run, 1), (tape.run, 2),
            ]  # fmt: skip
            assert len(store.search("answer", limit=1, tenant=tenant)) == 1
        assert len(store.search("answer")) == 4
        assert list(store.appended(0, tenant="nobody")) == []
        assert store.fetch(list(sent.payloads), "nobody") == {}

    def test_keys_stand_beside_the_log(self, store: Any) -> None:
        """A key is what it was last noted as; its hash is told only to who asks for it."""
        key = KeyRow(id="k1", name="laptop", hash=b"h", scope="read", tenant="acme", created_at=1)
        store.note(key)
        store.note(KeyRow(id="k0", name="ci", hash=b"i", scope="write", created_at=2, expires_at=9))
        key.revoked_at = 7
        store.note(key)
        assert store.find(Query("access_keys")).rows == [
            {"id": "k0", "name": "ci", "scope": "write", "tenant": "default", "created_at": 2, "expires_at": 9,
             "revoked_at": None},
            {"id": "k1", "name": "laptop", "scope": "read", "tenant": "acme", "created_at": 1, "expires_at": None,
             "revoked_at": 7},
        ]  # fmt: skip
        assert store.find(Query("access_keys", columns=("hash",))).rows == [{"hash": b"i"}, {"hash": b"h"}]
