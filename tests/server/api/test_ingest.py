from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
import zstandard

from tachograph.events import codec
from tachograph.server.bodies import LINES, PACKED
from tachograph.server.callers.keys import Scope, mint
from tachograph.server.service import Service
from tachograph.store.query import Query
from tachograph.store.rows import LossRow
from tachograph.testing import CountIds
from tests.record.fakes import TOKENS
from tests.server.conftest import Serve
from tests.strategies import Tape

JOURNAL = "019a0000-0000-7000-8000-000000000000"
ENTROPY = CountIds()


@pytest.fixture
def client(serve: Serve, service: Service) -> Iterator[httpx2.Client]:
    """Somebody on this machine, with the token."""
    with httpx2.Client(base_url=serve(service), headers={"X-Tachograph-Token": service.token}) as made:
        yield made


@pytest.fixture
def guarded(serve: Serve, keyed: Service) -> Iterator[httpx2.Client]:
    """Somebody before a server that asks for a key; see `key`."""
    with httpx2.Client(base_url=serve(keyed)) as made:
        yield made


def key(service: Service, tenant: str = "*", scope: Scope = "write") -> dict[str, str]:
    """Headers with a new access key."""
    minted = mint(service.store, f"{tenant} {scope}", scope, tenant, now_ns=0, entropy=ENTROPY)
    return {"Authorization": f"Bearer {minted.text}"}


def tape(label: str = "one", **facts: Any) -> Tape:
    """A run with a call that is still open."""
    made = Tape(label)
    made.begin(owner=JOURNAL, **facts)
    made.call(input=made.say("user", {"role": "user", "content": "hello"}))
    return made


def lines(made: Tape) -> bytes:
    """Its events as an export writes them."""
    return b"".join(codec.to_json(event) + b"\n" for event in made.events)


def post(client: httpx2.Client, body: bytes, media: str = LINES, **more: Any) -> httpx2.Response:
    """Send events."""
    headers = {"Content-Type": media, **more.pop("headers", {})}
    return client.post("/api/events", content=body, headers=headers, **more)


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
@pytest.mark.parametrize("media", [LINES, PACKED, f"{PACKED}; version=1"])
def test_events_in_every_form(client: httpx2.Client, service: Service, media: str, encoding: str) -> None:
    """Both media types, plain and packed; the answer says what became of each event."""
    made = tape()
    body = codec.encode_all(made.events) if media.startswith(PACKED) else lines(made)
    packed = {"": body, "gzip": gzip.compress(body), "zstd": zstandard.compress(body)}[encoding]
    answer = post(client, packed, media, headers={"Content-Encoding": encoding} if encoding else {})
    assert (answer.status_code, answer.json()) == (
        200,
        {"stored": 3, "repeated": 0, "dropped": 0, "moved": True, "runs": {made.run: 3}, "late": 0},
    )
    assert service.store.next_seq(made.run) == 3
    assert post(client, body, media).json()["repeated"] == 3


def test_problems_have_one_shape(client: httpx2.Client) -> None:
    """A gap, a malformed line, another media type, another encoding: a problem each, with its facts."""
    made = tape()
    gap = post(client, codec.to_json(made.events[0]) + b"\n" + codec.to_json(made.events[2]))
    assert gap.headers["content-type"] == "application/problem+json"
    assert gap.json() == {
        "type": "urn:tachograph:problem:sequence-gap", "title": "Conflict", "status": 409,
        "detail": f"run {made.run}: expected event 1, found 2; nothing of this batch was stored",
        "facts": {"run": made.run, "expected": 1, "found": 2},
    }  # fmt: skip
    broken = post(client, lines(made) + b"{")
    assert (broken.status_code, broken.json()["parameter"], broken.json()["facts"]) == (422, "line 4", {"line": 4})
    assert post(client, lines(made), "application/json").status_code == 415
    assert post(client, lines(made), headers={"Content-Encoding": "br"}).headers["accept-encoding"] == "zstd, gzip"
    assert post(client, zstandard.compress(bytes(65 << 20)), headers={"Content-Encoding": "zstd"}).status_code == 413


def test_writing_takes_the_token_or_a_key_that_writes(
    client: httpx2.Client, guarded: httpx2.Client, keyed: Service
) -> None:
    """Without either nothing is stored, on any of the endpoints."""
    paths = (f"/api/journals/{JOURNAL}", f"/api/journals/{JOURNAL}/open", f"/api/runs/{JOURNAL}/next")
    reader = key(keyed, scope="read")
    assert post(guarded, lines(tape())).status_code == 401
    assert post(guarded, lines(tape()), headers=reader).status_code == 403
    assert [guarded.get(path).status_code for path in paths] == [401] * 3
    assert [guarded.get(path, headers=reader).status_code for path in paths] == [403] * 3
    assert post(client, lines(tape()), headers={"X-Tachograph-Token": "guess"}).status_code == 403
    assert keyed.store.find(Query("runs")).rows == []
    assert post(guarded, lines(tape()), headers=key(keyed)).status_code == 200


def test_a_position_moves_once(client: httpx2.Client) -> None:
    """The same request again moves nothing, and says so with 200: whoever sent it can go on."""
    made = tape()
    query = {"journal": JOURNAL, "segment": 1, "offset": 700}
    assert client.get(f"/api/journals/{JOURNAL}").json() == {"journal": JOURNAL, "segment": 0, "offset": 0}
    assert post(client, lines(made), params=query).json()["stored"] == 3
    assert post(client, lines(made), params=query).json() == {
        "stored": 0, "repeated": 0, "dropped": 0, "moved": False, "runs": {made.run: 3}, "late": 0,
    }  # fmt: skip
    assert client.get(f"/api/journals/{JOURNAL}").json() == {"journal": JOURNAL, "segment": 1, "offset": 700}
    on = {**query, "segment": 2, "before_segment": 1, "before_offset": 700}
    assert post(client, b"", params=on).json()["moved"] is True
    assert client.get(f"/api/journals/{JOURNAL}").json()["segment"] == 2


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"journal": "mine", "segment": 1, "offset": 1}, "journal"),
        ({"journal": f"{JOURNAL}\n", "segment": 1, "offset": 1}, "journal"),
        ({"journal": JOURNAL, "segment": 1}, "offset"),
        ({"segment": 1, "offset": 1}, "journal"),
        ({"journal": JOURNAL, "segment": -1, "offset": 1}, "segment"),
        ({"journal": JOURNAL, "segment": 1, "offset": "x"}, "offset"),
        ({"journal": JOURNAL, "segment": 1, "offset": 1, "before_segment": 2}, "before_segment"),
        ({"journey": JOURNAL}, "journey"),
    ],
)
def test_a_position_that_is_none_is_refused(client: httpx2.Client, query: dict[str, Any], parameter: str) -> None:
    """The parameter is named, and no event is stored."""
    answer = post(client, lines(tape()), params=query)
    assert (answer.status_code, answer.json()["parameter"]) == (422, parameter)


def test_what_a_drain_asks_about_the_dead(client: httpx2.Client) -> None:
    """Which steps of a journal's runs are open, innermost first, and where each run goes on."""
    made = tape()
    post(client, lines(made))
    started = [(step, made.events[step].at) for step in (2, 0)]
    assert client.get(f"/api/journals/{JOURNAL}/open").json() == {
        "steps": [
            {"run": made.run, "step": step, "kind": kind, "started_at": at}
            for (step, at), kind in zip(started, ("llm", "run"), strict=True)
        ]
    }
    answer = client.get(f"/api/runs/{made.run}/next").json()
    assert (answer["run"], answer["next_seq"]) == (made.run, 3)
    assert codec.from_json(msgspec.json.encode(answer["last"])) == made.events[2]
    assert client.get(f"/api/runs/{tape('none').run}/next").json()["next_seq"] == 0


def test_a_loss_is_noted_once_however_often_it_is_told(client: httpx2.Client, service: Service) -> None:
    """The last word on the same reason counts; secrets in it are masked."""
    loss = {"at": 5, "reason": "journal_full", "events": 3, "detail": f"near {TOKENS['api_key'][0]}"}
    for events in (3, 4):
        body = msgspec.json.encode({**loss, "events": events})
        headers = {"Content-Type": "application/json"}
        assert client.post(f"/api/journals/{JOURNAL}/losses", content=body, headers=headers).status_code == 200
    rows = [LossRow(**row) for row in service.store.find(Query("losses")).rows]
    assert [(row.journal, row.reason, row.events, row.detail) for row in rows] == [
        (JOURNAL, "journal_full", 4, "near [redacted:api_key]")
    ]


@pytest.mark.parametrize("path", ["/api/journals/x", "/api/journals/x/open", f"/api/runs/{JOURNAL[:-1]}1/next"])
def test_an_id_that_is_none_of_ours_is_refused(client: httpx2.Client, path: str) -> None:
    """With the name of the part of the path."""
    answer = client.get(path)
    assert (answer.status_code, answer.json()["parameter"]) == (422, path.split("/")[2][:-1])


def test_two_tenants_see_nothing_of_each_other(guarded: httpx2.Client, keyed: Service) -> None:
    """Not a run, not its open steps, not how far a journal is, not even under the same names."""
    acme, other = key(keyed, "acme"), key(keyed, "other")
    made = tape()
    query = {"journal": JOURNAL, "segment": 1, "offset": 700}
    assert post(guarded, lines(made), headers=acme, params=query).json()["stored"] == 3
    paths = (f"/api/journals/{JOURNAL}", f"/api/journals/{JOURNAL}/open", f"/api/runs/{made.run}/next")
    assert [guarded.get(path, headers=other).json() for path in paths] == [
        {"journal": JOURNAL, "segment": 0, "offset": 0},
        {"steps": []},
        {"run": made.run, "next_seq": 0, "last": None},
    ]
    assert len(guarded.get(paths[1], headers=acme).json()["steps"]) == 2
    assert guarded.get(paths[2], headers=acme).json()["next_seq"] == 3
    assert post(guarded, lines(made), headers=other).status_code == 403
    assert post(guarded, lines(made).splitlines(keepends=True)[2], headers=other).json()["facts"]["expected"] == 0
    assert post(guarded, lines(tape("two")), headers=other, params=query).json()["moved"] is True
    assert guarded.get(paths[0], headers=acme).json()["offset"] == 700
