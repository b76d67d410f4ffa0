from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tachograph.errors import SettingsError
from tachograph.server.callers.keys import mint
from tachograph.server.serve import Listening, check
from tachograph.store.memory import MemoryStore
from tachograph.store.open import open_store
from tachograph.testing import CountIds
from tests.house.source import ROOT, environment

PROGRAM = "from tachograph.cli.main import main; main()"


@contextmanager
def running(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`tachograph serve` on a free port over a store in `home`, and the address that it says."""
    here = environment(TACHOGRAPH_HOME=str(home), PYTHONPATH=str(ROOT / "src"))
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", "--port", "0", *options],
        env=here,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"https?://\S+", process.stdout.readline())
            assert found is not None
            yield process, found[0]
        finally:
            process.kill()


@pytest.mark.parametrize(
    "listening",
    [
        Listening(host="0.0.0.0"),
        Listening(host="192.0.2.1"),
        Listening(require_key=True),
        Listening(allow_hosts=("a.example",)),
    ],
    ids=["everywhere", "beyond", "required", "named"],
)  # fmt: skip
def test_does_not_start_for_others_without_a_key(listening: Listening) -> None:
    """Where a key is needed and there is none, or none that is still good, the server says how to make one."""
    store = MemoryStore()
    mint(store, "old", "admin", "*", now_ns=1, entropy=CountIds(), expires_at=5)
    with pytest.raises(SettingsError, match="tachograph keys add"):
        check(listening, store, 10)
    mint(store, "new", "read", "*", now_ns=10, entropy=CountIds())
    assert check(listening, store, 11) is True


def test_needs_no_key_on_loopback() -> None:
    """A server for this machine starts without any key, and asks for none."""
    assert check(Listening(), MemoryStore(), 1) is False


def test_answers_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """The process serves health, OpenAPI and metrics, and leaves with SIGTERM in good order."""
    with running(tmp_path) as (process, address):
        assert httpx2.get(f"{address}/healthz").json()["status"] == "ok"
        assert httpx2.get(f"{address}/openapi.json").json()["openapi"] == "3.1.0"
        assert "tachograph_drain_elected 1.0" in httpx2.get(f"{address}/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)


def test_a_port_that_is_taken_is_said_in_a_line(tmp_path: Path) -> None:
    """Another program on the port: exit code 2, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        here = environment(TACHOGRAPH_HOME=str(tmp_path), PYTHONPATH=str(ROOT / "src"))
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "serve", "--port", port],
            env=here,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "--port 0 takes any" in done.stderr


def test_with_a_key_required_only_the_key_opens(tmp_path: Path) -> None:
    """With --require-key reading without a key is a 401 problem, with it an answer; health stays open."""
    store = open_store(f"sqlite:{tmp_path / 'tachograph.db'}")
    key = mint(store, "owner", "read", "*", now_ns=1, entropy=CountIds())
    store.close()
    with running(tmp_path, "--require-key") as (_, address):
        bare = httpx2.get(f"{address}/metrics")
        assert (bare.status_code, bare.headers["content-type"]) == (401, "application/problem+json")
        assert httpx2.get(f"{address}/metrics", headers={"Authorization": f"Bearer {key.text}"}).status_code == 200
        assert httpx2.get(f"{address}/healthz").status_code == 200
        assert httpx2.get(f"{address}/api/token").status_code == 404


def test_the_pages_of_an_empty_store_know_what_lies_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Session logs of a coding agent are counted for who looks at the pages here."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    folder = tmp_path / "claude" / "projects" / "-work-bikes"
    folder.mkdir(parents=True)
    (folder / "session.jsonl").write_text("{}\n")
    with running(tmp_path) as (process, address):
        assert "Claude Code: 1 file, 3 B" in httpx2.get(f"{address}/system/logs").text
        process.send_signal(signal.SIGTERM)
        process.wait(10)
