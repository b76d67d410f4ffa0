from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tachograph.errors import SequenceGap, StoreError, StoreRefused, StoreUnavailable
from tachograph.store.exchange import Exchange
from tests.store.scripted import Answer, Asked, Script, free_port, given, problem, scripted

KEY = "tg_0123_secret"


class Told(msgspec.Struct, frozen=True):
    """An answer."""

    said: str


@pytest.fixture
def script() -> Iterator[Script]:
    """A server."""
    with scripted() as made:
        yield made


@pytest.fixture
def server(script: Script) -> Iterator[Exchange]:
    """The way to it, with a key."""
    made = Exchange(script.url, KEY, direct=True)
    yield made
    made.close()


def failure(server: Exchange) -> StoreError:
    """What a request fails with."""
    with pytest.raises(StoreError) as caught:
        server.get("/x", Told)
    return caught.value


def test_an_answer_is_a_value(script: Script, server: Exchange) -> None:
    """What was sent arrives as it is, with the key; what comes back is decoded."""
    script.answer = lambda asked: given({"said": "yes", "more": 1})
    assert server.post("/x", b"body", Told, query={"n": 1}, headers={"Content-Type": "text/x"}) == Told("yes")
    (asked,) = script.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/x?n=1", b"body")
    assert (asked.headers["authorization"], asked.headers["content-type"]) == (f"Bearer {KEY}", "text/x")
    assert asked.headers["user-agent"].startswith("tachograph/")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
def test_a_server_that_has_no_time_may_be_asked_again(script: Script, server: Exchange, status: int) -> None:
    """Whatever says so, as a problem or as a page of something in between."""
    script.answer = lambda asked: Answer(status, b"<html>", {})
    found = failure(server)
    assert isinstance(found, StoreUnavailable)
    assert str(found) == f"store {script.url} is not available: {status}"


def test_a_server_that_wants_to_be_left_alone_is(script: Script, server: Exchange) -> None:
    """For as long as it says, without another request; then it is asked again."""
    script.answer = lambda asked: problem(503, "writer-busy")._replace(headers={"Retry-After": "1"})
    assert "503 this is writer-busy" in str(failure(server))
    assert "to be left alone for another 1 s" in str(failure(server))
    assert len(script.asked) == 1
    script.answer = lambda asked: given({"said": "yes"})
    time.sleep(1.1)
    assert server.get("/x", Told) == Told("yes")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "malformed-json"), (401, "key-refused"), (403, "scope-needed"), (413, "too-large"),
        (422, "malformed-event"), (409, "ambiguous"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_the_server_said(script: Script, server: Exchange, status: int, kind: str) -> None:
    """Status, kind and detail are facts; the key is in none of them."""
    script.answer = lambda asked: problem(status, kind)
    found = failure(server)
    assert isinstance(found, StoreRefused)
    assert (found.status, found.kind, found.detail) == (status, kind, f"this is {kind}")
    assert KEY not in f"{found} {found!r} {vars(found)}"


def test_a_gap_is_a_gap(script: Script, server: Exchange) -> None:
    """With its facts, as from any other store."""
    script.answer = lambda asked: problem(409, "sequence-gap", run="r", expected=3, found=5)
    found = failure(server)
    assert isinstance(found, SequenceGap)
    assert (found.run, found.expected, found.found) == ("r", 3, 5)


def test_a_server_that_moved_is_not_followed(script: Script, server: Exchange) -> None:
    """A key is shown to nobody but the server it was given for."""
    script.answer = lambda asked: Answer(308, headers={"Location": "https://elsewhere.example/x"})
    found = failure(server)
    assert isinstance(found, StoreRefused)
    assert (found.kind, found.detail) == (
        "moved", "it moved to https://elsewhere.example/x; name that as the store",
    )  # fmt: skip
    assert len(script.asked) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_an_answer_of_something_else_is_not_taken_for_ours(script: Script, server: Exchange, body: bytes) -> None:
    """A page where an answer should be means that the URL is of no tachograph server."""
    script.answer = lambda asked: Answer(body=body)
    found = failure(server)
    assert isinstance(found, StoreRefused)
    assert found.kind == "not-understood"


def test_nobody_there_is_unavailable() -> None:
    """A refused connection, with what the system says about it."""
    server = Exchange(f"http://127.0.0.1:{free_port()}", KEY, direct=True)
    found = failure(server)
    server.close()
    assert isinstance(found, StoreUnavailable)
    assert "refused" in str(found)


def test_a_cut_connection_is_tried_once_more(script: Script, server: Exchange) -> None:
    """A kept connection may have been closed by the server: the second try tells."""
    cuts = [True]
    script.answer = lambda asked: Answer(cut=True) if cuts and cuts.pop() else given({"said": "yes"})
    assert server.get("/x", Told) == Told("yes")
    assert len(script.asked) == 2
    script.answer = lambda asked: Answer(cut=True)
    assert isinstance(failure(server), StoreUnavailable)
    assert len(script.asked) == 4


# ---- without a key --------------------------------------------------------------------------------------------------


def tokens(script: Script, token: list[str]) -> None:
    """Let the server ask for the token that stands in the list."""

    def answer(asked: Asked) -> Answer:
        if asked.path == "/api/token":
            return given({"token": token[0]})
        return (
            given({"said": "yes"}) if asked.headers["x-tachograph-token"] == token[0] else problem(403, "token-needed")
        )

    script.answer = answer


def test_without_a_key_the_token_of_the_machine_is_fetched(script: Script) -> None:
    """Once; and again when the server was started anew and has another."""
    token = ["one"]
    tokens(script, token)
    server = Exchange(script.url, "", direct=True)
    assert [server.get("/x", Told), server.get("/x", Told)] == [Told("yes")] * 2
    token[0] = "two"
    assert server.get("/x", Told) == Told("yes")
    assert script.paths() == ["GET /api/token", *["GET /x"] * 3, "GET /api/token", "GET /x"]
    assert all("authorization" not in asked.headers for asked in script.asked)
    server.close()


def test_a_server_without_token_says_what_it_wants(script: Script) -> None:
    """Every request there needs a key."""
    script.answer = lambda asked: problem(404, "not-found")
    server = Exchange(script.url, "", direct=True)
    assert isinstance(failure(server), StoreRefused)
    server.close()


# ---- surroundings ---------------------------------------------------------------------------------------------------


def test_this_machine_is_asked_past_any_proxy(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent to oneself does not go around the world."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    script.answer = lambda asked: given({"said": "yes"})
    server = Exchange(script.url, KEY, direct=True)
    assert server.get("/x", Told) == Told("yes")
    server.close()


def test_threads_share_one_way_in(script: Script, server: Exchange) -> None:
    """Requests at the same time do not disturb each other."""
    script.answer = lambda asked: given({"said": asked.path})
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda path=f"/{number}": found.append((path, server.get(path, Told))))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(found) == sorted((f"/{number}", Told(f"/{number}")) for number in range(20))


def test_a_forked_child_makes_connections_of_its_own(script: Script, server: Exchange) -> None:
    """Two processes on one connection would read each other's answers."""
    script.answer = lambda asked: given({"said": asked.path})
    assert server.get("/parent", Told) == Told("/parent")
    parents = server._client
    child = os.fork()
    if child == 0:
        good = server.get("/child", Told) == Told("/child") and server._client is not parents
        server.close()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert server.get("/parent", Told) == Told("/parent")


def test_closing_twice_is_fine(server: Exchange) -> None:
    """Also before the first request."""
    server.close()
    server.close()
