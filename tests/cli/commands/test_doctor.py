from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.compose import System
from tachograph.record import scope
from tachograph.record.run import run
from tachograph.settings import Settings
from tachograph.store.query import Query
from tachograph.store.sqlite.store import SqliteStore
from tests.cli.conftest import Run, objects
from tests.server.conftest import serving
from tests.server.serving import service_over


def test_a_store_in_order_is_said_to_be(cli: Run, desk: Path) -> None:
    """With nothing waiting and nothing lost the code is 0."""
    result = cli("doctor", store=desk)
    assert result.exit_code == 0
    assert "no journals: everything recorded is in the store" in result.stdout
    assert result.stdout.endswith("✓ nothing is wrong\n")
    assert "7 runs" in result.stdout


def test_what_waits_is_shown_and_repaired(cli: Run, desk: Path, tmp_path: Path) -> None:
    """A journal of a process that has left is a problem until it is adopted."""
    system = System(Settings(home=tmp_path, store=f"sqlite:{desk}", drain=False))
    system.recorder.on_activity = None
    before = scope.use(lambda: system.recorder)
    with run("waiting"):
        pass
    scope.use(before)
    system.recorder.close()

    result = cli("doctor", store=desk)
    assert result.exit_code == 1
    assert "✗ journals of processes that are gone: 1, with 2 events (--repair adopts them)" in result.stdout
    [found] = objects(cli("doctor", "--json", store=desk).stdout)
    assert [(journal["waiting"], journal["alive"]) for journal in found["journals"]] == [(2, False)]
    assert found["repaired"] is None

    result = cli("doctor", "--repair", store=desk)
    assert result.exit_code == 0
    assert "repaired: 2 events moved, 0 runs ended as abandoned, 0 leftovers removed" in result.stdout
    [found] = objects(cli("doctor", "--repair", "--json", store=desk).stdout)
    assert (found["problems"], found["facts"]["runs"], found["repaired"]["events"]) == ([], 8, 0)


def test_a_server_as_the_store(cli: Run, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies here for it is shown, and sent by --repair; what only the server knows, nobody claims to know."""
    there = SqliteStore(tmp_path / "there.db")
    with serving(service_over(there, home=tmp_path)) as base:
        monkeypatch.setenv("TACHOGRAPH_STORE", base)
        system = System(Settings(home=own_home, store=base, drain=False))
        system.recorder.on_activity = None
        before = scope.use(lambda: system.recorder)
        with run("waiting"):
            pass
        scope.use(before)
        system.recorder.close()

        result = cli("doctor")
        assert (result.exit_code, f"store      {base}" in result.stdout) == (1, True)
        assert "✗ journals of processes that are gone: 1, with 2 events (--repair adopts them)" in result.stdout
        result = cli("doctor", "--repair")
        assert result.exit_code == 0
        assert "repaired: 2 events moved" in result.stdout
        assert there.find(Query("runs", columns=("name", "status"))).rows[0] == {
            "name": "waiting",
            "status": "completed",
        }
    there.close()
    result = cli("doctor")
    assert (result.exit_code, "✗ the store cannot be used: store http://127.0.0.1" in result.stdout) == (1, True)


def test_a_key_that_opens_nothing_is_named_but_not_shown(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict is the server's; the key stands in none of it, nor in what a reading command says."""
    with serving(service_over(home=tmp_path)) as base:
        monkeypatch.setenv("TACHOGRAPH_STORE", base.replace("//", "//tg_0123_abcd@"))
        told = [cli("doctor"), cli("doctor", "--json"), cli("ls")]
    said = "".join(result.stdout + result.stderr for result in told)
    assert [result.exit_code for result in told] == [1, 1, 4]
    assert "refused what was sent (401 key-refused)" in said
    assert f"tachograph: store {base} only takes events in and cannot be asked for runs" in told[2].stderr
    assert "tg_0123_abcd" not in said
