"""What a Prometheus server may scrape: the state of recorders, drain, store and money, as text.

Everything is read when it is asked for; nothing is counted beside the store. Money and tokens come from the roll-ups,
so a scrape costs the same however much is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from tachograph.queries.checkup import Diagnosis, examine
from tachograph.queries.stats import Group, stats
from tachograph.server.housekeeping import Rounds
from tachograph.server.service import Service
from tachograph.upkeep.keeper import Health
from tachograph.version import VERSION

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NANO = 1e9


class _Scrape(Collector):
    """One scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families, read now."""
        return self._families()


def exposition(service: Service, now_ns: int) -> bytes:
    """All metrics in the text format of Prometheus. Raises StoreError."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(lambda: _families(service, now_ns)))
    return generate_latest(registry)


def _families(service: Service, now_ns: int) -> Iterator[Metric]:
    yield InfoMetricFamily("tachograph", "The version of this server.", {"version": VERSION})
    found = examine(service.settings, service.store)
    yield from _of_recorders(found)
    yield from _of_store(found)
    yield from _of_rounds(service.rounds)
    yield from _of_upkeep(service.upkeep)
    yield from _of_live(service)
    models = stats(service.store, now_ns, by=("provider", "model")).groups
    agents = stats(service.store, now_ns, by=("agent",)).groups
    yield from _of_models(models)
    yield from _of_agents(agents)


def _of_recorders(found: Diagnosis) -> Iterator[Metric]:
    alive = sum(each.alive for each in found.journals)
    yield _gauge("recorders", "Processes that record into this store now.", alive)
    yield _gauge("recorders_gone", "Journals of processes that are gone, to be adopted.", len(found.journals) - alive)
    yield _gauge(
        "journal_waiting_events", "Records in journals, not in the store yet.", sum(j.waiting for j in found.journals)
    )
    yield _gauge("journal_waiting_bytes", "Their bytes.", sum(j.waiting_bytes for j in found.journals))
    yield _gauge(
        "journal_damaged_bytes", "Bytes in journals that are no record.", sum(j.damaged_bytes for j in found.journals)
    )
    lost = CounterMetricFamily(
        "tachograph_lost_events", "Events that could not be recorded, outside any run, by reason.", labels=["reason"]
    )
    by_reason: dict[str, int] = {}
    for loss in found.losses:
        by_reason[loss["reason"]] = by_reason.get(loss["reason"], 0) + loss["events"]
    for reason, events in sorted(by_reason.items()):
        lost.add_metric([reason], events)
    yield lost
    yield _gauge("lossy_runs", "Runs in which something could not be recorded.", found.lossy_runs)


_SIZES = ("bytes", "free_bytes")
_HELD = ("runs", "open_runs", "events", "steps", "calls", "tool_calls", "sessions", "payloads", "nodes", "dirty_hours")


def _of_store(found: Diagnosis) -> Iterator[Metric]:
    for name in (*_SIZES, *_HELD):
        if name in found.facts:
            yield _gauge(f"store_{name}", f"The store's {name.replace('_', ' ')}.", found.facts[name])


def _of_rounds(rounds: Rounds) -> Iterator[Metric]:
    yield _gauge("drain_elected", "1 when this server is the drain of its store.", int(rounds.elected))
    yield _counter("drained_events", "Events that this server moved into the store.", rounds.drained.events)
    yield _counter("drained_bytes", "Bytes of journals that this server moved.", rounds.drained.bytes)
    yield _counter("abandoned_runs", "Runs that this server closed for dead processes.", rounds.drained.abandoned)
    yield _counter("housekeeping_failures", "Rounds of housekeeping that failed.", rounds.failures)
    yield _gauge(
        "housekeeping_last_success_timestamp_seconds", "When a round last went through.", rounds.last_success_at / _NANO
    )


def _of_upkeep(health: Health) -> Iterator[Metric]:
    for name, count in health.counts().items():
        yield _counter(name, f"{name.replace('_', ' ').capitalize()} of this server.", count)
    for name, at in (("watch", health.last_watch_at), ("prune", health.last_prune_at)):
        yield _gauge(f"upkeep_last_{name}_timestamp_seconds", "When it last went through; 0 before.", at / _NANO)


def _of_live(service: Service) -> Iterator[Metric]:
    yield _gauge("live_readers", "Live streams that are open now.", service.live.readers)
    yield _counter("refused_writers", "Writers that were told to come back later.", service.turns.refused)


def _of_models(groups: Sequence[Group]) -> Iterator[Metric]:
    labels = ["provider", "model"]
    calls = CounterMetricFamily("tachograph_llm_calls", "Model calls by how they ended.", labels=[*labels, "status"])
    cost = CounterMetricFamily("tachograph_cost_usd", "Cost of priced calls.", labels=labels)
    unpriced = CounterMetricFamily("tachograph_unpriced_calls", "Ended calls without a price.", labels=labels)
    tokens = CounterMetricFamily("tachograph_tokens", "Tokens by class.", labels=[*labels, "kind"])
    for group in groups:
        key = [str(part) for part in group.key]
        for status, count in group.calls.by_status.items():
            calls.add_metric([*key, status], count)
        cost.add_metric(key, (group.cost.total or 0) / _NANO)
        unpriced.add_metric(key, group.cost.unpriced)
        for kind in ("input_uncached", "cache_read", "cache_write", "output", "reasoning"):
            tokens.add_metric([*key, kind], getattr(group.tokens, kind) or 0)
    return iter((calls, cost, unpriced, tokens))


def _of_agents(groups: Sequence[Group]) -> Iterator[Metric]:
    runs = CounterMetricFamily("tachograph_runs", "Runs by agent and how they ended.", labels=["agent", "status"])
    tools = CounterMetricFamily("tachograph_tool_calls", "Tool calls by agent and outcome.", labels=["agent", "status"])
    for group in groups:
        agent = str(group.key[0])
        for family, outcomes in ((runs, group.runs), (tools, group.tools)):
            for status, count in outcomes.by_status.items():
                family.add_metric([agent, status], count)
    return iter((runs, tools))


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tachograph_{name}", about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"tachograph_{name}", about, value)
