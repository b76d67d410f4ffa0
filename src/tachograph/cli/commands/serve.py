"""`tachograph serve`: the API over HTTP, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tachograph.cli.command import command, command_app
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.errors import MissingExtra

if TYPE_CHECKING:
    from tachograph.web.first import Left

app = command_app()

PACKAGES = ("jinja2", "prometheus_client", "starlette", "uvicorn")
"""What the extra `server` brings."""


@app.command(cls=QuickCommand)
@command
def serve(
    terminal: Terminal,
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; beyond 127.0.0.1 needs a key.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 is any free one.")] = 4319,
    require_key: Annotated[bool, typer.Option("--require-key", help="Ask for a key on this machine too.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Another name of this server, as behind a proxy."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="PEM", help="Speak HTTPS with this certificate.")
    ] = None,
    certificate_key: Annotated[
        Path | None, typer.Option("--certificate-key", metavar="PEM", help="Its private key, where it is apart.")
    ] = None,
) -> None:
    """Answer over HTTP until Ctrl-C: the API, live events, metrics, and events sent by others.

    The same process moves journals into the store, applies the retention policies and watches the alerts. It listens
    on this machine only, unless --host says otherwise and there is an access key (`tachograph keys add`).
    """
    try:
        from tachograph.server.serve import Listening, serve
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in PACKAGES:
            raise
        raise MissingExtra("tachograph serve", package, "server") from missing
    listening = Listening(
        host=host, port=port, require_key=require_key, allow_hosts=tuple(allow_host or ()), certificate=certificate,
        certificate_key=certificate_key,
    )  # fmt: skip

    def say(address: str) -> None:
        if terminal.json:
            terminal.give({"address": address, "store": terminal.settings.store_url})
        else:
            terminal.show(f"Tachograph listens on {address} ({terminal.settings.store_url}); Ctrl-C stops it.")
        terminal.flush()

    serve(terminal.settings, listening, clock=terminal.clock, said=say, left_here=_left_here)


def _left_here() -> list[Left]:
    """Session logs of coding agents on this machine, for the pages of an empty store."""
    from tachograph.cli.intake.places import agents
    from tachograph.web.first import Left

    return [
        Left(format=agent.format, home=str(agent.home), files=len(agent.files), bytes=agent.bytes) for agent in agents()
    ]
