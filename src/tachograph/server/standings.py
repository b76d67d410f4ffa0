"""Where sessions stand, beside the store: their heads, and the ledger of what their limits have counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tachograph.queries.answers.heads import Beside
from tachograph.server.endpoint import Ask
from tachograph.store.ledger import AnyLedger, ledger_path, open_ledger


def beside(ask: Ask, ledger: AnyLedger | None = None) -> Beside:
    """What is kept of sessions, as this caller may see it; with a ledger also what was counted."""
    return Beside(ask.service.heads, ask.now, ledger, inside=not ask.service.needs_key)


@contextlib.contextmanager
def open_counts(ask: Ask) -> Iterator[AnyLedger | None]:
    """The ledger beside the store; None where nothing was counted. Nothing is claimed here, so no owner is named."""
    settings = ask.service.settings
    path = ledger_path(settings.store_url, settings.home)
    if path is None or not path.exists():
        yield None
        return
    ledger = open_ledger(settings.store_url, settings.home, "", lambda owner: True)
    try:
        yield ledger
    finally:
        ledger.close()
