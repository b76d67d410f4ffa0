"""Real recorders and a real server, either of which may die at any moment: every event arrives, once."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import zstandard

from tachograph import LLMCall, compose, run, step
from tachograph.compose import System
from tachograph.errors import StoreRefused, StoreUnavailable
from tachograph.queries.checkup import examine
from tachograph.record import scope
from tachograph.server.service import Service
from tachograph.settings import KIB, Settings
from tachograph.store.query import Query
from tachograph.store.sqlite.store import SqliteStore
from tests.record.fakes import TOKENS
from tests.record.test_crash import acknowledged, gone, nursery, stored
from tests.server.conftest import serving
from tests.server.serving import service_over
from tests.store.scripted import Answer, Asked, free_port, given, problem, scripted


class Server:
    """`tachograph serve` as a process that can be killed and started again on the same port."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        program = "from tachograph.cli.main import main; main()"
        environment = {
            **os.environ, "TACHOGRAPH_HOME": str(self.home), "TACHOGRAPH_STORE": "",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", "--port", str(self.port)],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + 30
        while True:
            with suppress(httpx2.TransportError):
                if httpx2.get(f"{self.url}/healthz").status_code == 200:
                    return
            assert self.process.poll() is None, "the server did not start"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that has not been started yet; killed when the test is over."""
    made = Server(tmp_path / "server")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


def recover(settings: Settings) -> None:
    """Send what is left on this machine."""
    drain = compose.drain_for(settings, compose.scrubber_for(settings))
    until = time.monotonic() + 60
    while not (drain.elected() and drain.round().finished):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert drain.refused is None
    drain.close()


@pytest.mark.timeout(300)
def test_kill_9_of_either_side_loses_and_doubles_nothing(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes record into a server that is killed eight times; they are killed eight times, too."""
    chance = random.Random(7)
    monkeypatch.setenv("TACHOGRAPH_STORE", server.url)
    monkeypatch.setenv("RECORDING_PAUSE", "0.02")
    home = tmp_path / "client"
    settings = Settings(home=home, store=server.url)
    server.start()
    with nursery(home) as start:
        children = [start(number) for number in range(3)]
        for number in range(3, 19):
            time.sleep(chance.random() * 0.6)
            if number % 2:
                server.kill()
                time.sleep(chance.random() * 0.3)
                server.start()
            else:
                victim = children.pop(chance.randrange(len(children)))
                os.kill(victim, signal.SIGKILL)
                gone(victim)
                children.append(start(number))
        for child in children:
            os.kill(child, signal.SIGKILL)
            gone(child)
    recover(settings)
    assert server.kill(signal.SIGTERM) == -signal.SIGTERM
    acks, (events, statuses) = acknowledged(home), stored(Settings(home=server.home))
    assert len(acks) > 1_000
    assert [place for place in acks if events[place] != 1] == []
    assert max(events.values()) == 1
    assert set(statuses) <= {"completed", "abandoned"}
    assert statuses["abandoned"] >= 3
    assert list(compose.journals_folder(settings).glob("*/*.seg")) == []


# ---- one recorder in this process -----------------------------------------------------------------------------------


class Recording:
    """A recorder whose journals are sent by hand."""

    def __init__(self, home: Path, url: str, **more: Any) -> None:
        self.settings = Settings(home=home, store=url, drain=False, **more)
        self.system = System(self.settings)
        self.system.recorder.on_activity = None
        self._before = scope.use(lambda: self.system.recorder)
        self.drain = self.system.open_drain()
        assert self.drain.elected()

    def close(self) -> None:
        """Let go."""
        scope.use(self._before)
        self.drain.close()
        self.system.recorder.close()


def talk(label: str, text: str = "hello") -> None:
    """A run with one call."""
    with run(label), step(LLMCall("gpt-4o-mini", [{"role": "user", "content": text}], provider="openai")) as call:
        call.reply = "ok"


@pytest.fixture
def client(tmp_path: Path, service: Service) -> Iterator[Recording]:
    """A recorder of a server in this process."""
    with serving(service) as base:
        made = Recording(tmp_path / "client", base)
        yield made
        made.close()


def test_what_is_recorded_here_is_stored_there(client: Recording, store: SqliteStore) -> None:
    """Whole, in order, and priced by the server; then the journal has nothing left."""
    talk("one", "hello " * 500)
    assert client.drain.round().events == client.system.recorder.recorded
    (row,) = store.find(Query("runs", columns=("id", "name", "status", "next_seq"))).rows
    assert (row["name"], row["status"], row["next_seq"]) == ("one", "completed", client.system.recorder.recorded)
    (call,) = store.find(Query("calls", columns=("model", "status", "cost_state"))).rows
    assert (call["model"], call["status"]) == ("gpt-4o-mini", "completed")
    assert store.search("hello hello")[0]["run_id"] == row["id"]
    assert client.drain.round().events == 0


def test_secrets_never_leave_the_process(tmp_path: Path) -> None:
    """What is sent is masked already, also where redaction is left to the drain."""
    secret = TOKENS["anthropic_key"][0]
    for mode in ("inline", "drain"):
        with scripted() as script:
            script.answer = lambda asked: given(
                {"segment": 0, "offset": 0, "stored": 1, "repeated": 0, "dropped": 0, "moved": True, "runs": {}}
            )
            made = Recording(tmp_path / mode, script.url.replace("//", "//tg_key@"), scrub=mode)
            talk(f"run {secret}", f"the key is {secret} " * 100)
            assert made.drain.round().finished
            made.close()
            sent = b"".join(_plain(asked) for asked in script.asked)
            assert secret.encode() not in sent
            assert sent.count(b"[redacted:anthropic_key]") > 100
            assert all("tg_key" not in asked.path for asked in script.asked)


def _plain(asked: Asked) -> bytes:
    packed = asked.headers.get("content-encoding") == "zstd"
    return zstandard.decompress(asked.body) if packed else asked.body


@pytest.mark.parametrize("seed", range(4))
def test_answers_that_are_lost_double_nothing(tmp_path: Path, service: Service, store: SqliteStore, seed: int) -> None:
    """The server has done what was asked, and half of its answers never arrive: every event is stored once."""
    chance = random.Random(seed)
    with serving(service) as base, scripted() as script:
        script.answer = lambda asked: _forwarded(base, asked)._replace(cut=chance.random() < 0.5)
        made = Recording(tmp_path / "client", script.url, segment_bytes=64 * KIB)
        for number in range(6):
            talk(f"run {number}", "word " * chance.randrange(2_000))
            _insist(made)
        outer = run("left open").__enter__()
        made.system.recorder.journal.forsake()
        made.drain._own = lambda: None
        _insist(made)
        rows = store.find(Query("runs", columns=("name", "status", "next_seq"), order=("id",), limit=None)).rows
        assert made.drain.find() == []
        made.close()
    assert [(row["name"], row["status"]) for row in rows] == [
        *((f"run {number}", "completed") for number in range(6)), ("left open", "abandoned"),
    ]  # fmt: skip
    assert sum(row["next_seq"] for row in rows) == made.system.recorder.recorded + 1
    assert (store.check(), outer.number) == ([], 0)


def _forwarded(base: str, asked: Asked) -> Answer:
    """What the server behind says."""
    hop = ("host", "content-length", "connection", "accept-encoding")
    headers = {name: value for name, value in asked.headers.items() if name not in hop}
    answer = httpx2.request(asked.method, base + asked.path, content=asked.body, headers=headers)
    return Answer(answer.status_code, answer.content, {"Content-Type": answer.headers["content-type"]})


def _insist(made: Recording) -> None:
    """Rounds until everything is there."""
    for _ in range(100):
        with suppress(StoreUnavailable):
            if made.drain.round().finished:
                return
    raise AssertionError("it is never finished")


def test_an_answer_lost_without_a_word_is_found_out_by_the_position(client: Recording, store: SqliteStore) -> None:
    """A client that believes nothing was stored sends it again, is told that the position moved, and goes on."""
    talk("one")
    assert client.drain.round().events > 0
    client.drain._store._positions[client.system.recorder.journal.folder.name] = (0, 0)  # type: ignore[attr-defined]
    talk("two")
    assert client.drain.round().finished is False
    assert client.drain.round().finished
    assert store.facts()["events"] == client.system.recorder.recorded


@pytest.mark.parametrize(("steps", "lossy"), [(1, False), (700, True)])
def test_a_server_that_lost_its_store_is_told_what_is_left(
    tmp_path: Path, store: SqliteStore, steps: int, lossy: bool
) -> None:
    """What is still on disk here is sent again; what is not leaves losses at its place, and nothing stops."""
    port, other = free_port(), SqliteStore(tmp_path / "other.db")
    with serving(service_over(store, home=tmp_path), port) as base:
        made = Recording(tmp_path / "client", base, segment_bytes=64 * KIB)
        outer = run("long").__enter__()
        for number in range(steps):
            with step("before", iteration=number):
                pass
        assert made.drain.round().finished
    with serving(service_over(other, home=tmp_path), port):
        outer.__exit__(None, None, None)
        talk("next")
        rounds = [made.drain.round().finished for _ in range(3)]
        rows = other.find(Query("runs", columns=("name", "status", "lost", "next_seq"), order=("id",))).rows
    assert rounds[-1]
    assert [(row["name"], row["status"]) for row in rows] == [
        ("" if lossy else "long", "completed"),
        ("next", "completed"),
    ]
    assert (rows[0]["next_seq"], rows[0]["lost"] > 0) == (2 * steps + 2, lossy)
    made.close()
    other.close()


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_is_asked_again(tmp_path: Path, status: int) -> None:
    """The journal waits, and goes when the server is well."""
    with scripted() as script:
        script.answer = lambda asked: Answer(status)
        made = Recording(tmp_path, f"{script.url.replace('//', '//tg_key@')}")
        talk("one")
        with pytest.raises(StoreUnavailable):
            made.drain.round()
        assert made.drain.refused is None
        script.answer = lambda asked: given(
            {"segment": 0, "offset": 0, "stored": 6, "repeated": 0, "dropped": 0, "moved": True, "runs": {}}
        )
        assert made.drain.round().events == 6
        made.close()


def test_a_refusal_is_told_by_doctor_and_not_tried_hot(tmp_path: Path) -> None:
    """The journal stays; its folder, the drain and the examination say why."""
    with scripted() as script:
        script.answer = lambda asked: problem(403, "scope-needed")
        made = Recording(tmp_path, script.url.replace("//", "//tg_key@"))
        talk("one")
        assert [made.drain.round().finished for _ in range(5)] == [False] * 5
        assert len(script.asked) == 1
        store = compose.open_store(made.settings)
        found = examine(made.settings, store)
        store.close()
        made.close()
        why = f"store {script.url} refused what was sent (403 scope-needed): this is scope-needed"
        assert (found.away, [each.refused for each in found.journals], found.journals[0].waiting) == (why, [why], 4)
        assert [sentence for sentence in found.problems if why in sentence] == [
            f"the store cannot be used: {why}",
            f"journals that the store does not take: 1, because: {why}",
        ]
        assert "tg_key" not in repr(found)


def test_a_program_is_not_held_up_by_a_server_that_says_nothing(tmp_path: Path) -> None:
    """Leaving takes the time that it may take; what was recorded waits for the next process."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", "import tachograph\nwith tachograph.run('job'): pass"],
            env={
                **os.environ,
                "TACHOGRAPH_HOME": str(tmp_path),
                "TACHOGRAPH_STORE": f"http://tg_key@127.0.0.1:{silent.getsockname()[1]}",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            timeout=30,
            check=False,
        )
        took = time.monotonic() - began
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert took < 12
    segment = min(tmp_path.glob("journals/*/*/*.seg"))
    assert b"run_started" in segment.read_bytes()
    assert "tg" not in segment.parent.parent.name
    assert b"tg_key" not in segment.read_bytes()


def test_the_worker_says_what_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In its health and once in the log; the program is not affected, and the server not bothered."""
    with scripted() as script:
        script.answer = lambda asked: problem(401, "key-refused")
        url = script.url.replace("//", "//tg_key@")
        system = System(Settings(home=tmp_path, store=url, drain_interval=0.02, exit_seconds=0.5))
        before = scope.use(lambda: system.recorder)
        for number in range(3):
            talk(f"run {number}")
        flushed = system.worker.flush(1.0)
        scope.use(before)
        asked, why = len(script.asked), system.worker.last_error
        system.close()
    assert (flushed, isinstance(why, StoreRefused), asked <= 2) == (False, True, True)
    assert (caplog.text.count("the store does not take events"), "tg_key" in caplog.text) == (1, False)
