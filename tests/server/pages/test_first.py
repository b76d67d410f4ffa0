from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import msgspec

from tachograph.server.callers.access import LOCAL, Caller
from tachograph.server.endpoint import Ask, Nothing
from tachograph.server.pages.first import first_run
from tachograph.server.service import Service
from tachograph.store.scoped import Scoped
from tachograph.web.first import Left
from tests.house.source import ROOT, environment
from tests.server.pages.visitor import Visitor, key, text_of
from tests.server.recorded import recorded

PROGRAM = "from tachograph.cli.main import main; main()"


def asking(service: Service, caller: Caller = LOCAL) -> Ask:
    """A request for some page."""
    store = service.store if caller.tenant is None else Scoped(service.store, caller.tenant)
    return Ask(
        service=service, caller=caller, store=store, asked=Nothing(), path={}, headers={"host": "localhost:4319"},
        body=b"", now=1,
    )  # fmt: skip


def test_an_empty_store_leads_to_the_first_run(service: Service) -> None:
    """As long as nothing is recorded there is something to do first, with commands that write to this very store."""
    first = first_run(asking(service))
    assert first is not None
    assert first.is_here
    assert first.command("import") == f"tachograph import --store {service.store.url}"
    recorded(service)
    assert first_run(asking(service)) is None


def test_each_tenant_has_a_first_run(keyed: Service) -> None:
    """What others have recorded is no run of one's own, and where the store lies is told to nobody elsewhere."""
    recorded(keyed, tenant="red")
    first = first_run(asking(keyed, Caller("reader", "blue", "read")))
    assert first is not None
    assert (first.is_here, first.store) == (False, "")
    assert first.environment == "export TACHOGRAPH_STORE=http://localhost:4319 TACHOGRAPH_KEY=tg_…"
    assert first_run(asking(keyed, Caller("reader", "red", "read"))) is None


def test_deletions_are_no_runs(service: Service) -> None:
    """A store that holds nothing but its audit is empty."""
    run = recorded(service)
    path = f"/runs/{run.id}/delete"
    assert Visitor(service).submit(path, path).status_code == 200
    assert first_run(asking(service)) is not None


def test_logs_on_this_machine_are_told_to_nobody_else(service: Service) -> None:
    """How many files of which agent lie here is for who sits here; a key called `local` does not make somebody that."""
    left = (Left(format="claude-code", home="/home/ada/.claude", files=3, bytes=2_048),)
    here = replace(service, left_here=lambda: left)
    assert "Claude Code: 3 files, 2 KiB." in text_of(Visitor(here).get("/system/logs").text)
    assert "None of Claude Code" in text_of(Visitor(service).get("/system/logs").text)
    elsewhere = replace(here, needs_key=True)
    assert Visitor(elsewhere, key(elsewhere)).get("/system/logs").status_code == 403


def test_the_program_that_is_shown_records_a_run(service: Service, tmp_path: Path) -> None:
    """What the page offers to copy is a whole program: run as it stands, it leaves one run in this store."""
    shown = Visitor(service).get("/system/start").text
    copied = [unescape(text) for text in re.findall(r"<code data-copy>(.*?)</code>", shown, re.DOTALL)]
    [program] = [text for text in copied if text.startswith("import ")]
    [store] = [text.removeprefix("export TACHOGRAPH_STORE=") for text in copied if text.startswith("export ")]
    assert store == service.store.url
    here = environment(TACHOGRAPH_HOME=str(tmp_path), TACHOGRAPH_STORE=store, PYTHONPATH=str(ROOT / "src"))

    def run(*words: str) -> str:
        return subprocess.run(
            [sys.executable, *words], env=here, check=True, timeout=60, capture_output=True, text=True
        ).stdout

    run("-c", program)
    [made] = [msgspec.json.decode(line) for line in run("-c", PROGRAM, "ls", "--json").splitlines()]
    assert (made["name"], made["status"], made["tool_calls"]) == ("my first run", "completed", 1)
