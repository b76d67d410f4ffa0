"""Messages: stored once, named by where they stand.

A transcript is a path in a tree: each message names the one before it, so two calls that share a prefix share its
messages. Inside a run a node is named by the sequence number of its `MessageAppended` event; across runs and stores by
`node_hash(parent node, message)`.
"""

from __future__ import annotations

from tachograph.events.body import Recorded
from tachograph.events.content import Content, digest

ROOT = bytes(32)
"""Node hash of the empty transcript."""


class MessageAppended(Recorded, frozen=True, kw_only=True, tag="message_appended"):
    """A message joined a transcript."""

    role: str
    """system, developer, user, assistant, tool, …: as the source says it."""
    parent: int | None = None
    """Seq of the message before it; None for the first."""
    message: Content
    """The whole message object as JSON, exactly as it was handed over (role included)."""
    ephemeral: bool = False
    """Present in one request only, at its tail; never part of the conversation."""


def node_hash(parent: bytes, message: bytes) -> bytes:
    """Hash of a transcript node from its parent's hash and its message's hash (both 32 bytes)."""
    return digest(parent + message)
