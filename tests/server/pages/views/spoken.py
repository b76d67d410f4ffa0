"""A server over a run in which all stands that a conversation can have."""

from __future__ import annotations

from starlette.testclient import TestClient

from tachograph.server.app import build
from tachograph.server.service import Service
from tests.queries.kept import batch
from tests.queries.views.talk import Talk

HERE = "http://localhost:4319"


def spoken(service: Service, **facts: str) -> tuple[TestClient, Talk]:
    """Somebody who looks at it, and the run."""
    talk = Talk(**facts)
    service.store.append(batch(talk.events))
    return TestClient(build(service), base_url=HERE, follow_redirects=False), talk
