"""`tachograph serve`: one process that answers, takes in, drains, prunes and watches, and needs no other part.

It listens on loopback unless it is told otherwise; beyond loopback it does not start before there is an access key.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn
from msgspec import Struct

from tachograph.compose import admitter_for, journals_folder, open_store, scrubber_for
from tachograph.errors import SettingsError
from tachograph.record.clock import SYSTEM, Clock
from tachograph.record.drain import Drain
from tachograph.server.app import build
from tachograph.server.callers.keys import keys
from tachograph.server.housekeeping import Housekeeping
from tachograph.server.keeping import Keeping
from tachograph.server.listener import Listener
from tachograph.server.service import NAMES, Service
from tachograph.server.tidying import Tidying
from tachograph.settings import Settings
from tachograph.store.open import is_loopback
from tachograph.store.ports import Store
from tachograph.upkeep.keeper import keeper_for
from tachograph.web import render
from tachograph.web.first import Left

PORT = 4319
_GRACE_SECONDS = 3
"""What requests in flight get when the server is asked to stop."""


class Listening(Struct, frozen=True, kw_only=True):
    """Where and how to listen."""

    host: str = "127.0.0.1"
    port: int = PORT
    """0 is any free port."""
    require_key: bool = False
    """Ask for a key on loopback too."""
    allow_hosts: tuple[str, ...] = ()
    """Other names that this server goes by, as behind a proxy; then every request needs a key."""
    certificate: Path | None = None
    """PEM file; with it the server speaks HTTPS."""
    certificate_key: Path | None = None


def serve(
    settings: Settings,
    listening: Listening,
    *,
    clock: Clock = SYSTEM,
    said: Callable[[str], None],
    left_here: Callable[[], Sequence[Left]] = tuple,
) -> None:
    """Serve until SIGINT or SIGTERM. `said` is told the address; `left_here` finds session logs of coding agents.

    Raises SettingsError, StoreError.
    """
    store = open_store(settings)
    try:
        for file in (listening.certificate, listening.certificate_key):
            if file is not None and not file.is_file():
                raise SettingsError("--certificate", str(file), "a PEM file that is there")
        needs_key = check(listening, store, clock.now())
        with (
            _socket(listening) as listener,
            _running(settings, store, listening, needs_key, clock, left_here) as service,
        ):
            scheme = "https" if listening.certificate else "http"
            threading.Thread(target=render.warm(), name="tachograph-warming", daemon=True).start()
            said(f"{scheme}://{_shown(listening.host)}:{listener.getsockname()[1]}")
            Listener(_config(service, listening), service.live).run(sockets=[listener])
    finally:
        store.close()


def check(listening: Listening, store: Store, now_ns: int) -> bool:
    """Whether requests need a key. Raises SettingsError when they do and there is none, so that nobody could ask."""
    beyond = not is_loopback(listening.host)
    needs_key = beyond or listening.require_key or bool(listening.allow_hosts)
    if needs_key and not any(key.is_good(now_ns) for key in keys(store)):
        name, value = _why(listening, beyond)
        raise SettingsError(name, value, "make an access key first: tachograph keys add NAME --scope admin")
    return needs_key


def _why(listening: Listening, beyond: bool) -> tuple[str, object]:
    """What asked for a key: an option and its value."""
    if beyond:
        return "--host", listening.host
    return ("--require-key", True) if listening.require_key else ("--allow-host", ", ".join(listening.allow_hosts))


@contextlib.contextmanager
def _running(
    settings: Settings,
    store: Store,
    listening: Listening,
    needs_key: bool,
    clock: Clock,
    left_here: Callable[[], Sequence[Left]],
) -> Iterator[Service]:
    """The service with its housekeeping and its keeper."""
    scrubber = scrubber_for(settings)
    drain = Drain(journals_folder(settings), store, admitter_for(settings, store, scrubber))

    def moved() -> None:
        service.live.wake()

    keeping = Keeping(journals_folder(settings), keeper_for(settings, store, clock=clock))
    tidying = Tidying(store)
    housekeeping = Housekeeping(drain, clock, each_round=keeping.take, on_moved=moved)
    service = Service(
        settings=settings,
        store=store,
        admitter=admitter_for(settings, store, scrubber),
        clock=clock,
        token=clock.entropy(32).hex(),
        needs_key=needs_key,
        hosts=frozenset({*NAMES, *(name.lower() for name in listening.allow_hosts), listening.host.lower()}),
        rounds=housekeeping.rounds,
        upkeep=keeping.health,
        tidy=tidying.ask,
        left_here=left_here,
    )
    housekeeping.start()
    try:
        yield service
    finally:
        service.heads.close()
        housekeeping.stop()
        keeping.close()
        tidying.close()


@contextlib.contextmanager
def _socket(listening: Listening) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((listening.host, listening.port))
            listener.listen()  # from here on nobody who was told the address is turned away
        except (OSError, OverflowError) as problem:
            wanted = f"a free port of an address of this machine ({problem}); --port 0 takes any"
            raise SettingsError("--host/--port", f"{listening.host}:{listening.port}", wanted) from problem
        yield listener
    finally:
        listener.close()


def _config(service: Service, listening: Listening) -> uvicorn.Config:
    return uvicorn.Config(
        build(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.certificate_key,
    )


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
