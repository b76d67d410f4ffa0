"""Servers over real HTTP: a service answers on a free port of this machine until the test is over."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from tachograph.server.app import build
from tachograph.server.listener import Listener
from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tests.server.serving import service_over

Serve = Callable[[Service], str]
"""Service → base URL."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store in a file."""
    made = SqliteStore(tmp_path / "server.db")
    yield made
    made.close()


@pytest.fixture
def service(store: SqliteStore, tmp_path: Path) -> Service:
    """A service over that store, for everybody on this machine."""
    return service_over(store, home=tmp_path)


@pytest.fixture
def keyed(store: SqliteStore, tmp_path: Path) -> Service:
    """A service over that store that needs a key; make some with `keys.mint`."""
    return service_over(store, home=tmp_path, needs_key=True)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(service)`: the base URL of a server that runs in a thread until the test is over."""
    with contextlib.ExitStack() as stack:
        yield lambda service: stack.enter_context(serving(service))


@contextlib.contextmanager
def serving(service: Service, port: int = 0) -> Iterator[str]:
    """A server in a thread; its base URL. Stopped when the block ends."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            build(service), log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=5
        )
        server = Listener(config, service.live)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="test-server")
        thread.start()
        try:
            until = time.monotonic() + 20
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                assert time.monotonic() < until, "the server did not start in time"
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server did not stop"
