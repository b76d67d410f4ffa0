"""uvicorn, which waits for answers to end: those that end by nothing else are ended first."""

from __future__ import annotations

import socket

import uvicorn

from tachograph.server.live import Live


class Listener(uvicorn.Server):
    """A server whose live views end when it is asked to stop."""

    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, let requests in flight finish, let go."""
        self._live.close()
        await super().shutdown(sockets)
