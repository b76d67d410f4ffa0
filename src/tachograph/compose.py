"""The only wiring: settings become journals, a recorder, a drain and a store. Nothing is opened before it is needed."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from tachograph.errors import SettingsError
from tachograph.events.call import CallEnded
from tachograph.events.ids import run_id
from tachograph.events.usage import Cost
from tachograph.limits.guard import Guard
from tachograph.record import scope
from tachograph.record.admit import Admitter, Asked, Pricer, Reach
from tachograph.record.clock import SYSTEM, Clock
from tachograph.record.drain import Drain
from tachograph.record.journal import Journal, Owner, owner_lives
from tachograph.record.recorder import LiveRun, Recorder
from tachograph.record.run import stated
from tachograph.record.scrub import Scrubber
from tachograph.record.worker import Worker
from tachograph.settings import Settings, read
from tachograph.store import open as store_open
from tachograph.store.open import is_remote, remote_url, sqlite_path
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tachograph.version import VERSION

if TYPE_CHECKING:
    from tachograph.fold.cost import PriceBook
    from tachograph.fold.price_rates import Row
    from tachograph.limits.budget import Budget, World
    from tachograph.limits.ledger import Ledger
    from tachograph.limits.limit import Limits
    from tachograph.store.sessions.heads import Heads


class System:
    """One recorder and everything it needs, for one store."""

    def __init__(
        self,
        settings: Settings,
        *,
        guard: Guard | None = None,
        clock: Clock = SYSTEM,
        limits: Limits | None = None,
    ) -> None:
        self.settings = settings
        self.scrubber = scrubber_for(settings)
        self.recorder = Recorder(
            partial(journal_for, settings, clock),
            self.scrubber,
            guard=guard,
            clock=clock,
            limits=self.scrubber.limits(settings.content_bytes),
            pending=leaves_scrubbing(settings),
            sync_effects=settings.fsync == "effects",
        )
        self.recorder.policy = limits
        self.recorder.open_budget = self._open_budget
        self.recorder.prices = lambda: self.prices
        self.recorder.reach = self.reach
        self.worker = Worker(
            self.recorder,
            self.open_drain if settings.drain else None,
            interval=settings.drain_interval,
            exit_seconds=settings.exit_seconds,
            sync=settings.fsync == "interval",
        )
        self.recorder.on_activity = self.worker.start
        _of_recorders[self.recorder] = ref(self)

    @cached_property
    def prices(self) -> PriceBook:
        """What calls cost here; for a program that wants to know at once. Raises SettingsError."""
        return price_book_for(self.settings)

    @cached_property
    def ledger(self) -> Ledger:
        """Where limits of sessions and tenants are kept: beside the store, for all processes that record there."""
        return ledger_for(self.settings, self.recorder)

    @cached_property
    def heads(self) -> Heads:
        """Where the sessions of this store stand: beside it, for all processes that record there."""
        with _changing:  # of those in memory there must be only one
            known: Heads | None = self.__dict__.get("heads")
            return known or heads_for(self.settings, self.recorder)

    @cached_property
    def store(self) -> Store:
        """The store, to be read. Opened by the first question."""
        return open_store(self.settings)

    @cached_property
    def _world(self) -> World:
        from tachograph.limits.budget import World  # noqa: PLC0415 - a program without limits needs no budget

        return World(self._price, lambda: self.ledger, self.recorder.clock.now, threading.RLock)

    def _open_budget(self, limits: Limits | None, above: Budget | None, run: LiveRun) -> Budget:
        from tachograph.limits.budget import Budget  # noqa: PLC0415 - as above

        return Budget(limits, run.started, above=above, world=self._world, tenant=run.tenant, session=run.account)

    def _price(self, provider: str, model: str, tier: str | None) -> Row | Cost:
        """What is in force now; prices that cannot be read are none, so that a limit on money refuses."""
        try:
            return self.prices.schedule(provider, model, tier).at(self.recorder.clock.now())
        except SettingsError as problem:
            return Cost(reason=str(problem))

    def open_drain(self) -> Drain:
        """A drain into the store, with a connection of its own."""
        store, gate, folder, _ = self.reach()
        return Drain(folder, store, gate, own=lambda: self.recorder.journal.folder.name)

    def reach(self) -> Reach:
        """The store with its gate, and a connection of its own; one in memory is the same each time."""
        store = self._memory if self.settings.store_url == "memory:" else open_store(self.settings)
        gate = admitter_for(self.settings, store, self.scrubber)
        return Reach(store, gate, journals_folder(self.settings), self.worker.flush)

    @cached_property
    def _memory(self) -> Store:
        return open_store(self.settings)

    def after_fork(self) -> None:
        """In a forked child: a journal, a worker and a ledger of its own."""
        for opened in _OPENED:
            self.__dict__.pop(opened, None)
        self.worker.after_fork()
        self.recorder.after_fork()

    def close(self) -> None:
        """End open runs, drain for a bounded time, let go."""
        self.worker.leave()
        for name in _OPENED:
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()


def leaves_scrubbing(settings: Settings) -> bool:
    """Whether redaction can be left to the drain: only with the default rules, since another process may drain."""
    own = settings.redact or settings.patterns or settings.scrubbers
    return settings.scrub == "drain" and settings.capture == "full" and not own


_OPENED = ("ledger", "heads", "store")
"""What a system opens when it is first needed; a forked child opens its own."""
_of_recorders: WeakKeyDictionary[Recorder, ref[System]] = WeakKeyDictionary()
_system: System | None = None
_others: dict[str, System] = {}
"""Systems of the stores that were asked for by URL; the process's own may be among them."""
_changing = threading.RLock()


def configure(
    *, guard: Guard | None = None, clock: Clock = SYSTEM, limits: Limits | str | None = None, **settings: Any
) -> System:
    """Record with these settings from now on (over the environment's); what was recording before is closed.

    `limits` bounds every run of this process that nothing in it started and that states none of its own: as `Limits`,
    or as text ("15 turns, $1, 60s").

    Raises SettingsError for a value that cannot be used. Returns the system, whose `recorder.health` and
    `recorder.feed` a program may read.
    """
    global _system
    with _changing:
        system = System(read(**settings), guard=guard, clock=clock, limits=stated(limits))
        for former in _systems():
            former.close()
        _others.clear()
        _system = system
        scope.use(lambda: current().recorder)
        return system


def current() -> System:
    """The process's system; made from the environment when nothing was configured."""
    global _system
    if _system is not None:
        return _system
    with _changing:
        if _system is None:
            settings = read()
            _system = _same_store(settings.store_url) or System(settings)
        return _system


def system_for(url: str) -> System:
    """The system that records into a store: the process's own if that is its store, else one beside it.

    That one has the settings, guard, limits and clock of the process's own; there is one system a store and process.
    Raises SettingsError for a URL that cannot be used.
    """
    known = _others.get(url)
    if known is not None:
        return known
    with _changing:
        own = _system
        settings = own.settings if own is not None else read()
        found = _same_store(url)
        if found is None and own is None and store_key(url) == store_key(settings.store_url):
            found = current()
        if found is None:
            settings = replace(settings, store=url)
            open_store(settings).close()  # opens nothing yet, but knows what cannot be opened
            found = System(settings, **_as(own)) if own else System(settings)
        _others[url] = found
        return found


@contextlib.contextmanager
def using(system: System) -> Iterator[System]:
    """Everything in the block is recorded by this system, and what asks for `recording` gets it. It stays open."""
    before = scope.use(lambda: system.recorder)
    try:
        yield system
    finally:
        scope.use(before)


def recording() -> System:
    """The system that runs are recorded by just now: that of `using`, else the process's own."""
    known = _of_recorders.get(scope.recorder())
    return (None if known is None else known()) or current()


def store_key(url: str) -> str:
    """What tells stores apart: where a SQLite file lies, however its URL spells that; of any other store its URL."""
    if _is_file(url):
        return str(sqlite_path(url).resolve())
    return remote_url(url) if is_remote(url) else url


def _as(own: System) -> Mapping[str, Any]:
    recorder = own.recorder
    return {"guard": recorder.guard, "clock": recorder.clock, "limits": recorder.policy}


def _same_store(url: str) -> System | None:
    key = store_key(url)
    return next((system for system in _systems() if store_key(system.settings.store_url) == key), None)


def _systems() -> list[System]:
    """Every system of this process, once."""
    return list(dict.fromkeys((*([_system] if _system is not None else []), *_others.values())))


def flush(timeout: float = 10.0) -> bool:
    """Wait until everything recorded so far is in the store; False when the time (seconds) was not enough."""
    until = time.monotonic() + timeout
    return all(system.worker.flush(max(0.0, until - time.monotonic())) for system in _systems())


def journals_folder(settings: Settings) -> Path:
    """Where the journals of a store lie: beside a SQLite file, else in `home`."""
    url = settings.store_url
    if _is_file(url):
        path = sqlite_path(url)
        return path.with_name(f"{path.name}.journals")
    # Journals of two servers, or for two keys of one, must never lie together: whoever drains sends all of them.
    whose = blake2b(f"{store_key(url)} {settings.key}".encode(), digest_size=8).hexdigest()
    name = "".join(letter if letter.isalnum() else "-" for letter in store_key(url))[:60]
    return settings.home / "journals" / f"{name}-{whose}"


def _is_file(url: str) -> bool:
    return url.partition(":")[0] in ("sqlite", url)


def journal_for(settings: Settings, clock: Clock) -> Journal:
    """A journal for this process; nothing is written before the first event."""
    now = clock.now()
    owner = Owner(run_id(now, clock.entropy(6)), os.getpid(), socket.gethostname(), settings.store_url, now, VERSION)
    return Journal(
        journals_folder(settings) / f"{owner.journal}", owner, settings.segment_bytes, settings.journal_bytes
    )


def scrubber_for(settings: Settings) -> Scrubber:
    """The redaction that these settings ask for."""
    key = settings.hash_key.encode() or (_hash_key(settings.home) if settings.capture == "hashed" else b"")
    return Scrubber(
        level=settings.capture,
        redact=settings.redact,
        patterns=settings.patterns,
        scrubbers=settings.scrubbers,
        key=key,
    )


def open_store(settings: Settings) -> Store:
    """The store of these settings. Raises SettingsError, SchemaMismatch, StoreUnavailable."""
    return store_open.open_store(settings.store_url, settings.key)


def admitter_for(settings: Settings, store: Store, scrubber: Scrubber) -> Admitter:
    """The gate in front of a store."""
    if is_remote(settings.store_url):
        return Admitter(scrubber, _priced_there, content_bytes=settings.content_bytes)
    find_call = partial(_find_call, store)
    return Admitter(scrubber, pricer_for(settings), find_call, content_bytes=settings.content_bytes)


def drain_for(settings: Settings, scrubber: Scrubber, own: Any = lambda: None) -> Drain:
    """A drain into the store of these settings."""
    store = open_store(settings)
    return Drain(journals_folder(settings), store, admitter_for(settings, store, scrubber), own=own)


def price_book_for(settings: Settings) -> PriceBook:
    """Prices: the user's own (settings, then `prices.toml`) before the bundled list. Raises SettingsError."""
    from tachograph.fold import cost, price_overrides  # noqa: PLC0415 - prices are not needed to record

    path = settings.prices or settings.home / "prices.toml"
    if not path.exists():
        if settings.prices is not None:
            raise SettingsError("prices", str(path), "a TOML file that exists")
        return cost.price_book(per_thousand=settings.token_prices, per_million=settings.million_prices)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as problem:
        raise SettingsError("prices", str(path), f"a TOML file that can be read ({problem})") from problem
    stated = price_overrides.read_toml(text, str(path))
    return cost.price_book(per_thousand=settings.token_prices, per_million=settings.million_prices, toml=stated)


def ledger_for(settings: Settings, recorder: Recorder) -> Ledger:
    """The ledger beside the store of these settings. Nothing is opened before its first use."""
    from tachograph.store.ledger import open_ledger  # noqa: PLC0415 - only limits of sessions and tenants need it

    journals = journals_folder(settings)
    owner = recorder.journal.owner.journal
    return open_ledger(settings.store_url, settings.home, owner, lambda other: owner_lives(journals / other))


def heads_for(settings: Settings, recorder: Recorder) -> Heads:
    """The heads of sessions beside the store of these settings. Nothing is opened before their first use."""
    from tachograph.store.heads import open_heads  # noqa: PLC0415 - only sessions need them

    journals, owner = journals_folder(settings), recorder.journal.owner
    # A lease is taken before anything is recorded: its owner must be seen to live from then on. If that cannot be
    # (a full disk), the time of its leases alone says how long they last.
    try:
        name = recorder.ready()
    except OSError:
        name = ""
    holder = f"process {owner.pid} on {owner.host}"
    return open_heads(
        settings.store_url, settings.home, name, holder, lambda other: owner_lives(journals / other)
    )  # fmt: skip


def heads_of(settings: Settings) -> Heads:
    """The same for who looks at sessions, or changes them from outside, and leads none."""
    from tachograph.store.heads import open_heads  # noqa: PLC0415 - as above

    journals = journals_folder(settings)
    return open_heads(settings.store_url, settings.home, is_alive=lambda other: owner_lives(journals / other))


def pricer_for(settings: Settings) -> Pricer:
    """Prices calls by the book of these settings."""
    from tachograph.fold.cost import price_call  # noqa: PLC0415 - as above

    return partial(price_call, price_book_for(settings))


def _priced_there(asked: Asked, ended: CallEnded, at: int) -> None:
    """The server prices calls: it knows their starts, whichever process sent them, and has one list for all."""


def _find_call(store: Store, run: str, step: int) -> Asked | None:
    known = store.find(Query("runs", (Where("id", "eq", run),), columns=("pk",), limit=1)).rows
    where = (Where("run", "eq", known[0]["pk"] if known else -1), Where("step", "eq", step))
    columns = ("provider", "model", "tier", "served_model", "served_tier", "ended_at")
    rows = store.find(Query("calls", where, columns, limit=1)).rows
    if not rows:
        return None
    call = rows[0]
    model, tier = call["served_model"] or call["model"], call["served_tier"] or call["tier"]
    return Asked(call["provider"], model, tier, call["ended_at"])


def _hash_key(home: Path) -> bytes:
    path = home / "hash.key"
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Written whole before it has its name: nobody ever reads half a key, and the first one wins.
        fresh = home / f".hash.key.{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(SYSTEM.entropy(32).hex().encode())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return path.read_bytes()


def _forked() -> None:
    global _changing
    _changing = threading.RLock()
    for system in _systems():
        system.after_fork()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)
scope.use(lambda: current().recorder)
