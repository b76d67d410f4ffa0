from __future__ import annotations

from pathlib import Path

from tachograph.compose import System
from tachograph.record import scope
from tachograph.record.run import run
from tachograph.settings import Settings
from tests.cli.conftest import Run, objects


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
