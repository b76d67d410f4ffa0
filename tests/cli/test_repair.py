from __future__ import annotations

from pathlib import Path

from tachograph.cli.repair import Repaired, repair
from tachograph.compose import System, journals_folder, open_store
from tachograph.events.envelope import Event
from tachograph.events.run import RunStarted
from tachograph.events.tool import ToolStarted
from tachograph.queries.checkup import examine
from tachograph.queries.run import run as run_detail
from tachograph.record import scope
from tachograph.record.run import run
from tachograph.settings import Settings
from tachograph.store.ports import Batch

RUN = "019a0000-0000-7000-8000-000000000000"


def test_everything_that_waits_is_put_right(tmp_path: Path) -> None:
    """Journals are moved, runs without one are ended as abandoned, leftovers go; then nothing is wrong."""
    settings = Settings(home=tmp_path, store=f"sqlite:{tmp_path / 'runs.db'}", drain=False)
    store = open_store(settings)
    started = RunStarted(name="lost", execution_id="exec_0_0", owner="gone")
    store.append(Batch([Event(RUN, 0, 1, 1, 0, started), Event(RUN, 1, 5, 5, 1, ToolStarted(name="look"))]))
    system = System(settings)
    system.recorder.on_activity = None
    before = scope.use(lambda: system.recorder)
    with run("kept"):
        pass
    scope.use(before)
    system.recorder.close()
    (journals_folder(settings) / ".019a-unnamed").mkdir()

    done = repair(settings, store)

    assert done == Repaired(events=2, abandoned=1, damaged=0, removed=1, finished=True)
    assert examine(settings, store).problems == []
    detail = run_detail(store, RUN)
    assert (detail.run.status, detail.run.stop_reason) == ("abandoned", "process_died")
    assert [(step.kind, step.status) for step in detail.steps] == [("run", "abandoned"), ("tool", "abandoned")]
    assert repair(settings, store) == Repaired(events=0, abandoned=0, damaged=0, removed=0, finished=True)
    store.close()
