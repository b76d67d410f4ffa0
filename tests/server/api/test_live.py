from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.events import codec
from tachograph.server import stream as stream_module
from tachograph.server.callers.keys import mint, revoke
from tachograph.server.live import MOST_OF_ONE
from tachograph.server.service import Service
from tachograph.store.ports import Batch
from tachograph.store.sqlite.store import SqliteStore
from tachograph.testing import CountIds
from tests.server.conftest import Serve, serving
from tests.server.following import Message, following
from tests.server.serving import service_over
from tests.server.test_chapters import notes
from tests.strategies import Tape

_numbers = iter(range(10**9))


class Writers:
    """Two threads that add runs to a store in pieces, taking turns as they like."""

    def __init__(self, service: Service, seed: int, runs: int = 3) -> None:
        self._service = service
        self.tapes = [
            notes(f"written {next(_numbers)}", 2 + seed % 7 + number, ended=True) for number in range(2 * runs)
        ]
        self._threads = [
            threading.Thread(target=self._write, args=(self.tapes[half::2], random.Random(seed + half)))
            for half in range(2)
        ]

    @property
    def places(self) -> set[tuple[str, int]]:
        """Run and seq of every event."""
        return {(event.run, event.seq) for tape in self.tapes for event in tape.events}

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until everything is written."""
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _write(self, tapes: list[Tape], chance: random.Random) -> None:
        waiting = [list(tape.events) for tape in tapes]
        while waiting := [events for events in waiting if events]:
            events = chance.choice(waiting)
            count = chance.randrange(1, 4)
            self._service.store.append(Batch(events[:count]))
            if chance.random() < 0.5:
                self._service.live.wake()
            del events[:count]
            time.sleep(chance.random() / 200)


def follow_all(base: str, last_id: str, wanted: set[tuple[str, int]], cuts: list[int], **query: Any) -> list[Message]:
    """Every message from an id on until all that is wanted has come, through connections cut after so many messages."""
    found: list[Message] = []
    missing = set(wanted)
    for cut in (*cuts, 10**9):
        with following(base, last_id, **query) as (_, messages):
            for _ in range(cut):
                if not missing:
                    return found
                found.append(next(messages))
                missing.discard(found[-1].place)
                last_id = found[-1].id
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """One server for many examples."""
    home = tmp_path_factory.mktemp("live")
    store = SqliteStore(home / "live.db")
    service = service_over(store, home=home)
    with serving(service) as base:
        yield service, base
    store.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 1_000))
def test_each_event_comes_once_through_any_cuts(shared: tuple[Service, str], cuts: list[int], seed: int) -> None:
    """Two writers go on while a reader is cut off and comes back with its last id: no gap, no double, in order."""
    service, base = shared
    writers = Writers(service, seed)
    start = str(service.store.head())
    writers.start()
    found = follow_all(base, start, writers.places, cuts)
    writers.join()
    assert sorted(message.place for message in found) == sorted(writers.places)
    for tape in writers.tapes:
        assert [message.data["seq"] for message in found if message.data["run"] == tape.run] == list(
            range(len(tape.events))
        )


def test_from_the_id_of_any_message_exactly_the_rest_comes(shared: tuple[Service, str]) -> None:
    """Every id is a place to go on from, in the middle of what was stored together too."""
    service, base = shared
    start = service.store.head()
    tape = notes(f"written {next(_numbers)}", 7)
    for piece in (tape.events[:4], tape.events[4:]):
        service.store.append(Batch(piece))
    whole = follow_all(base, str(start), {(tape.run, seq) for seq in range(7)}, [])
    assert [message.id for message in whole] == [
        *(f"{start + 1}.{seq}" for seq in range(3)), f"{start + 1}", f"{start + 2}.4", f"{start + 2}.5", f"{start + 2}",
    ]  # fmt: skip
    for index, message in enumerate(whole[:-1]):
        rest = {(tape.run, seq) for seq in range(index + 1, 7)}
        assert follow_all(base, message.id, rest, []) == whole[index + 1 :]
        assert follow_all(base, "", rest, [], after=message.id) == whole[index + 1 :]


def test_what_is_sent_is_the_event(shared: tuple[Service, str]) -> None:
    """Its type as the name, its JSON as an export has it as the data."""
    service, base = shared
    tape = notes(f"written {next(_numbers)}", 3, ended=True)
    service.store.append(Batch(tape.events))
    with following(base, run=tape.run) as (_, messages):
        found = list(messages)
    assert [(message.id, message.event) for message in found] == [
        ("0", "run_started"),
        ("1", "note"),
        ("2", "run_ended"),
    ]
    assert [codec.from_json(httpx2.Response(200, json=message.data).content) for message in found] == tape.events


def test_a_run_is_followed_from_its_beginning_to_its_end(shared: tuple[Service, str]) -> None:
    """Its past first, then what comes, whoever stores it; after its end the answer ends, and coming back gets 204."""
    service, base = shared
    tape = notes(f"written {next(_numbers)}", 9, ended=True)
    service.store.append(Batch(tape.events[:4]))

    def write() -> None:
        for event in tape.events[4:]:
            time.sleep(0.03)
            service.store.append(Batch([event]))

    writer = threading.Thread(target=write)
    with following(base, run=tape.run) as (parser, messages):
        writer.start()
        assert [message.data["seq"] for message in messages] == list(range(9))
    writer.join()
    again = httpx2.get(f"{base}/api/live", params={"run": tape.run}, headers={"Last-Event-ID": parser.last_id})
    assert (again.status_code, again.content) == (204, b"")
    assert httpx2.get(f"{base}/api/live", params={"run": tape.run, "after": "8"}).status_code == 204
    for after in range(-1, 8):
        with following(base, run=tape.run[:31], after=str(after)) as (_, messages):
            assert [message.data["seq"] for message in messages] == list(range(after + 1, 9))


def test_without_a_place_the_stream_begins_now(shared: tuple[Service, str]) -> None:
    """What was before is not told; a cut before the first event loses nothing, since the place is told at once."""
    service, base = shared
    service.store.append(Batch(notes(f"written {next(_numbers)}", 3).events))
    with following(base) as (parser, _):
        assert parser.last_id == str(service.store.head())
    tape = notes(f"written {next(_numbers)}", 2)
    service.store.append(Batch(tape.events))
    places = {(tape.run, 0), (tape.run, 1)}
    assert [message.place for message in follow_all(base, parser.last_id, places, [])] == sorted(places)


def test_filters_choose_among_runs(shared: tuple[Service, str]) -> None:
    """By session, agent type and tag."""
    service, base = shared
    start = str(service.store.head())
    facts: dict[str, Any] = {"session": f"s{start}", "agent_type": f"a{start}", "tags": (f"t{start}", "more")}
    tapes = [notes(f"written {next(_numbers)}", 2, **chosen) for chosen in ({}, facts, {})]
    for tape in tapes:
        service.store.append(Batch(tape.events))
    wanted = tapes[1].run
    for query in ({"session": f"s{start}"}, {"agent": f"a{start}"}, {"tag": f"t{start}"}):
        found = follow_all(base, start, {(wanted, 0), (wanted, 1)}, [], **query)
        assert [message.place for message in found] == [(wanted, 0), (wanted, 1)]


@pytest.mark.parametrize(
    ("query", "last_id", "status", "parameter"),
    [
        ({"after": "yesterday"}, "", 422, "after"),
        ({}, "yesterday", 422, "Last-Event-ID"),
        ({"run": "ffffffff"}, "", 404, None),
        ({"run": "last", "session": "s"}, "", 422, "session"),
        ({"run": "last", "after": "5.1"}, "", 422, "after"),
        ({"seq": "5"}, "", 422, "seq"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    shared: tuple[Service, str], query: dict[str, str], last_id: str, status: int, parameter: str | None
) -> None:
    """As a problem, before any stream begins."""
    service, base = shared
    service.store.append(Batch(notes(f"written {next(_numbers)}", 3).events))
    headers = {"Last-Event-ID": last_id} if last_id else {}
    answer = httpx2.get(f"{base}/api/live", params=query, headers=headers)
    assert (answer.status_code, answer.json().get("parameter")) == (status, parameter)


def test_a_feed_that_was_pruned_resets_once(serve: Serve, service: Service, store: SqliteStore) -> None:
    """The newest cursor, then on: a page knows that it has to read again what it shows."""
    base = serve(service)
    for number in range(4):
        store.append(Batch(notes(f"run {number}", 1).events))
    with store._connections.transaction() as connection:
        connection.execute("DELETE FROM feed WHERE id <= 2")
    with following(base, "1") as (_, messages):
        assert next(messages) == Message("4", "reset", {"cursor": "4"})
        tape = notes("later", 1)
        store.append(Batch(tape.events))
        assert next(messages).place == (tape.run, 0)


def test_a_reader_comes_back_after_a_restart(service: Service, store: SqliteStore) -> None:
    """The same place means the same to another server over the same store."""
    tape = notes("one", 6)
    store.append(Batch(tape.events[:4]))
    with serving(service) as base, following(base, "0") as (parser, messages):
        seen = [next(messages).data["seq"] for _ in range(2)]
        last_id = parser.last_id
    store.append(Batch(tape.events[4:]))
    again = service_over(store)
    with serving(again) as base:
        seen += [
            message.data["seq"] for message in follow_all(base, last_id, {(tape.run, seq) for seq in (2, 3, 4, 5)}, [])
        ]
    assert seen == list(range(6))


def test_streams_do_not_keep_a_server_from_stopping(service: Service) -> None:
    """They end in good order, and promptly."""
    with ExitStack() as stack:
        base = stack.enter_context(serving(service))
        ended: list[list[Message]] = []

        def read() -> None:
            with following(base) as (_, messages):
                ended.append(list(messages))

        readers = [threading.Thread(target=read) for _ in range(5)]
        for reader in readers:
            reader.start()
        until = time.monotonic() + 10
        while service.live.readers < 5:
            assert time.monotonic() < until
            time.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    for reader in readers:
        reader.join(5)
    assert ended == [[]] * 5


def test_two_tenants_follow_only_what_is_theirs(serve: Serve, keyed: Service, store: SqliteStore) -> None:
    """Neither sees the other's runs come in, nor can one follow a run of the other; a key for all sees both."""
    base, entropy = serve(keyed), CountIds()
    said = {
        tenant: {"Authorization": f"Bearer {mint(store, tenant, 'read', tenant, now_ns=0, entropy=entropy).text}"}
        for tenant in ("acme", "other", "*")
    }
    tapes = {tenant: notes(tenant, 3, tenant=tenant) for tenant in ("acme", "other")}
    places = {tenant: [(tape.run, seq) for seq in range(3)] for tenant, tape in tapes.items()}
    for tape in tapes.values():
        store.append(Batch(tape.events))
    for tenant, expected in (*places.items(), ("*", places["acme"] + places["other"])):
        with following(base, "0", said[tenant]) as (_, messages):
            assert [next(messages).place for _ in expected] == expected
    theirs = httpx2.get(f"{base}/api/live", params={"run": tapes["other"].run}, headers=said["acme"])
    nobodys = httpx2.get(f"{base}/api/live", params={"run": notes("nobody", 1).run}, headers=said["acme"])
    assert (theirs.status_code, theirs.json()["type"]) == (nobodys.status_code, nobodys.json()["type"]) == (
        404, "urn:tachograph:problem:not-found",
    )  # fmt: skip
    assert httpx2.get(f"{base}/api/live").status_code == 401


def test_a_key_that_is_good_no_more_ends_its_stream(
    serve: Serve, keyed: Service, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked while a stream is open, it gets nothing of what comes later; another key goes on."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.2)
    base, entropy = serve(keyed), CountIds()
    minted = [mint(store, name, "read", "acme", now_ns=0, entropy=entropy) for name in ("gone", "stays")]
    said = [{"Authorization": f"Bearer {each.text}"} for each in minted]
    before, after = notes("before", 1, tenant="acme"), notes("after", 1, tenant="acme")
    with following(base, "0", said[0]) as (_, mine), following(base, "0", said[1]) as (_, theirs):
        store.append(Batch(before.events))
        assert next(mine).place == next(theirs).place == (before.run, 0)
        revoke(store, minted[0].key.id, 1)
        time.sleep(1)
        store.append(Batch(after.events))
        assert next(theirs).place == (after.run, 0)
        assert next(mine, None) is None


def test_a_key_that_expires_ends_its_stream(
    serve: Serve, keyed: Service, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server's clock."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.1)
    until = keyed.clock.now() + 20_000_000  # the clock ticks by a millisecond whenever it is asked
    key = mint(store, "short", "read", "acme", now_ns=0, entropy=CountIds(), expires_at=until)
    with following(serve(keyed), "0", {"Authorization": f"Bearer {key.text}"}) as (_, messages):
        while keyed.clock.now() < until:
            pass
        time.sleep(0.5)
        store.append(Batch(notes("after", 1, tenant="acme").events))
        assert next(messages, None) is None


def test_a_key_has_a_bounded_number_of_streams(
    serve: Serve, keyed: Service, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is refused; another tenant's key has its own, even by the same name."""
    monkeypatch.setattr("tachograph.server.api.live.MOST_OF_ONE", 3)
    base, entropy = serve(keyed), CountIds()
    said = [
        {"Authorization": f"Bearer {mint(store, 'page', 'read', tenant, now_ns=0, entropy=entropy).text}"}
        for tenant in ("acme", "other")
    ]
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(following(base, "0", said[0]))
        full = httpx2.get(f"{base}/api/live", headers=said[0])
        assert (full.status_code, full.json()["type"]) == (503, "urn:tachograph:problem:too-many-streams")
        stack.enter_context(following(base, "0", said[1]))
    assert MOST_OF_ONE == 20


def test_a_message_is_not_packed(shared: tuple[Service, str]) -> None:
    """A compressed stream would be held back until a block is full."""
    service, base = shared
    tape = notes(f"written {next(_numbers)}", 3, ended=True)
    service.store.append(Batch(tape.events))
    answer = httpx2.get(f"{base}/api/live", params={"run": tape.run}, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
