from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.cli.desk.pace import Pace
from tachograph.cli.desk.program import Desk
from tachograph.compose import System, using
from tachograph.server.api import surface
from tachograph.server.service import Service
from tachograph.settings import Settings
from tachograph.store.sqlite.store import SqliteStore
from tests.house.source import ROOT
from tests.server.conftest import Serve
from tests.server.serving import service_over

OPENED_AT = 1_790_000_000_000_000_000
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "unsupported_method", "allow_header_conformance",
)  # fmt: skip
"""`positive_data_acceptance` is left out: dates and cursors have a grammar that a schema of texts does not tell."""


@pytest.fixture
def desk(tmp_path: Path) -> Service:
    """A service over a store that has all kinds of runs in it."""
    pace = Pace(OPENED_AT)
    system = System(Settings(home=tmp_path, store=f"sqlite:{tmp_path / 'desk.db'}"), clock=pace.clock())
    try:
        with using(system):
            Desk(pace, session="demo").open()
        assert system.worker.flush()
    finally:
        system.close()
    return service_over(SqliteStore(tmp_path / "desk.db"), home=tmp_path)


@pytest.mark.timeout(400)
def test_does_what_its_document_says(serve: Serve, desk: Service, tmp_path: Path) -> None:
    """Whatever is sent to any operation, well formed or not: no 5xx, and no status, type or shape that is not told."""
    address = serve(desk)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--no-color"),
        *("--header", f"X-Tachograph-Token: {desk.token}"),
        *("--exclude-path", "/api/live", "--checks", ",".join(CHECKS), "--max-examples", "3"),
        *("--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--continue-on-failure"),
        *("--request-timeout", "30", "--warnings", "off"),
    ]
    here = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.server.senders", "PYTHONPATH": f"{ROOT}"}
    done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", done.stdout)
    assert said is not None, done.stdout
    operations = len(surface.ENDPOINTS)
    assert [int(count) for count in said.groups()] == [operations - 1, operations, operations - 1]
    desk.store.close()
