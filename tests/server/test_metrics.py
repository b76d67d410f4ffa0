from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tachograph.compose import System, drain_for, scrubber_for
from tachograph.events.usage import Usage
from tachograph.record import scope
from tachograph.record.clock import SYSTEM
from tachograph.record.intent import LLMCall, ToolCall
from tachograph.record.run import run
from tachograph.record.step import step
from tachograph.server.housekeeping import Housekeeping
from tachograph.server.metrics import exposition
from tachograph.server.service import Service
from tachograph.settings import Settings
from tachograph.store.open import open_store
from tests.server.serving import service_over
from tests.server.test_housekeeping import wait_for

Sample = tuple[str, tuple[tuple[str, str], ...]]


def scraped(service: Service) -> dict[Sample, float]:
    """What a Prometheus server would read: name and labels → value."""
    text = exposition(service, SYSTEM.now()).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def filled(tmp_path: Path) -> Service:
    """A service over a store with one run: a priced call, and a tool call that failed."""
    system = System(Settings(home=tmp_path))
    before = scope.use(lambda: system.recorder)
    try:
        with run("answer", agent_type="desk"):
            with step(LLMCall("gpt-4o-mini", [{"role": "user", "content": "hi"}], "openai")) as call:
                call.reply, call.usage = "hello", Usage(input_uncached=1_000, output=500, basis="provider")
            with step(ToolCall("look")) as tool:
                tool.fail("not there")
        assert system.worker.flush()
    finally:
        scope.use(before)
        system.close()
    return service_over(open_store(system.settings.store_url), home=tmp_path)


def test_money_and_outcomes_are_counted_by_who_and_what(filled: Service) -> None:
    """Calls, tokens and cost by provider and model; runs and tool calls by agent; each once."""
    found = scraped(filled)
    model = (("model", "gpt-4o-mini"), ("provider", "openai"))
    agent = (("agent", "desk"),)
    assert found["tachograph_cost_usd_total", model] == pytest.approx(0.00045)
    assert found["tachograph_llm_calls_total", (*model, ("status", "completed"))] == 1
    assert found["tachograph_tokens_total", (("kind", "output"), *model)] == 500
    assert found["tachograph_runs_total", (*agent, ("status", "completed"))] == 1
    assert found["tachograph_tool_calls_total", (*agent, ("status", "failed"))] == 1
    assert found["tachograph_store_events", ()] == 8
    filled.store.close()


def test_an_empty_store_has_metrics_too(tmp_path: Path) -> None:
    """Before anything is recorded a scrape gives zeros, and no error."""
    service = service_over(open_store(f"sqlite:{tmp_path / 'a.db'}"), home=tmp_path)
    found = scraped(service)
    assert (found["tachograph_store_runs", ()], found["tachograph_recorders", ()]) == (0, 0)
    service.store.close()


def test_a_scrape_leaves_the_drain_its_lock(tmp_path: Path) -> None:
    """Looking at the journals' folder does not cost the server its election: nobody else gets the lock meanwhile."""
    settings = Settings(home=tmp_path)
    housekeeping = Housekeeping(drain_for(settings, scrubber_for(settings)), SYSTEM)
    housekeeping.start()
    assert wait_for(lambda: housekeeping.rounds.elected)
    store = open_store(settings.store_url)
    service = service_over(store, home=tmp_path, rounds=housekeeping.rounds)
    try:
        assert scraped(service)["tachograph_drain_elected", ()] == 1
        assert not lock_is_free(tmp_path)
    finally:
        housekeeping.stop()
        store.close()
    assert lock_is_free(tmp_path)


def lock_is_free(home: Path) -> bool:
    """Whether another process could be the drain."""
    import subprocess
    import sys

    program = (
        "import os, sys; from tachograph.record import journal\nprint(journal.lock(os.open(sys.argv[1], os.O_RDWR)))"
    )
    [lock] = home.rglob("drain.lock")
    done = subprocess.run([sys.executable, "-c", program, str(lock)], capture_output=True, text=True, check=True)
    return done.stdout == "True\n"
