"""What a test recorded, read back from the store."""

from __future__ import annotations

from tachograph import compose
from tachograph.agent.resume import recording as recordings
from tachograph.agent.resume.recording import Recording
from tachograph.store.ports import Reading


def recording(execution_id: str, store: Reading | None = None) -> Recording:
    """The run of an execution; its store stays open."""
    with recordings.reading(None):
        pass  # what was recorded is there now
    return recordings.recording(execution_id, store or compose.recording().reach().store)
