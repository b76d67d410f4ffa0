from __future__ import annotations

import subprocess
from pathlib import Path

from tests.cli.commands.agents.test_run import command
from tests.cli.conftest import objects

BOTS = """
from tachograph.agent.agent import Agent
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.tools.approval import Pause
from tachograph.agent.tools.tool import Tool
from tachograph.providers.scripted import Call, ScriptedModel


def pay(amount: int) -> str:
    \"\"\"Pay.\"\"\"
    return f"paid {amount}"


SCRIPT = [Call("pay", {"amount": 5}), "It is paid."]


def said(request):
    return SCRIPT[sum(message.role == "assistant" for message in request.messages)]


agent = Agent(name="bot", model=ScriptedModel(said), tools=[pay], limits="1 turns")
asking = Agent(name="bot", model=ScriptedModel(said), tools=[Tool.of(pay, approve=True)], approve=Pause())


def led(request):
    return "All is paid." if request.messages[-1].role == "tool" else Call("ask_bot", {"message": "Pay!"})


lead = Agent(name="lead", model=ScriptedModel(led), delegates=[Delegate(asking, mode="fresh")], approve=Pause())
"""


def written(folder: Path) -> str:
    """A file with agents in it."""
    (folder / "bots.py").write_text(BOTS)
    return str(folder / "bots.py")


def test_a_stopped_run_goes_on_in_another_process_with_higher_limits(tmp_path: Path) -> None:
    """The same run, whose answer streams now; without higher limits it is stopped again."""
    store, bots = tmp_path / "runs.db", written(tmp_path)
    assert command("run", bots, "Pay!", store=store).returncode == 5
    (first,) = objects(command("ls", "--json", store=store).stdout)
    assert command("resume", first["execution_id"], bots, store=store).returncode == 5
    done = command("resume", first["execution_id"], bots, "--limits", "3 turns", "--by", "ann", store=store)
    assert (done.returncode, done.stdout) == (0, "It is paid.\n")
    (now,) = objects(command("ls", "--json", store=store).stdout)
    assert (now["id"], now["status"], now["stop_reason"]) == (first["id"], "completed", "final_answer")
    again = command("resume", first["execution_id"], bots, store=store)
    assert (again.returncode, "completed" in again.stderr) == (1, True)


def test_a_run_that_waits_is_decided_and_goes_on(tmp_path: Path) -> None:
    """Exit code 6 while it waits; `approvals allow`, and the call is made."""
    store, bots = tmp_path / "runs.db", f"{written(tmp_path)}:asking"
    waits = command("run", bots, "Pay!", "--json", store=store)
    assert waits.returncode == 6
    (outcome,) = objects(waits.stdout)
    assert allowed(outcome["run_id"], store).returncode == 0
    done = command("resume", outcome["execution_id"], bots, store=store)
    assert (done.returncode, done.stdout) == (0, "It is paid.\n")


def test_a_run_that_waits_says_what_to_do(tmp_path: Path) -> None:
    """What is to be approved, how to decide, and how to go on."""
    store, bots = tmp_path / "runs.db", f"{written(tmp_path)}:asking"
    waits = command("run", bots, "Pay!", store=store)
    (run,) = objects(command("ls", "--json", store=store).stdout)
    digits = run["execution_id"].removeprefix("exec_")[:8]
    assert waits.stderr.splitlines()[-3:] == [
        "paused: approval: to be approved: pay",
        f"decide: tachograph approvals allow {digits}  (or deny, edit)",
        f"go on:  tachograph resume {digits} FILE.py:AGENT",
    ]


def test_what_a_delegate_waits_for_is_listed_decided_and_whoever_asked_it_goes_on(tmp_path: Path) -> None:
    """The call is listed under the delegate's run, which is the one that is named; the run above is taken up again."""
    store, bots = tmp_path / "runs.db", f"{written(tmp_path)}:lead"
    waits = command("run", bots, "Pay!", store=store)
    assert waits.returncode == 6
    runs = {
        run["name"]: run["execution_id"].removeprefix("exec_")[:8]
        for run in objects(command("ls", "--json", store=store).stdout)
    }
    assert waits.stderr.splitlines()[-2:] == [
        f"decide: tachograph approvals allow {runs['bot']}  (or deny, edit)",
        f"go on:  tachograph resume {runs['lead']} FILE.py:AGENT",
    ]
    assert "it waits for a person" in waits.stderr
    listed = command("approvals", "ls", store=store).stdout.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [[f"{runs['bot']}.1.0", "pay"]]
    assert command("approvals", "allow", runs["bot"], store=store).returncode == 0
    done = command("resume", runs["lead"], bots, store=store)
    assert (done.returncode, done.stdout) == (0, "All is paid.\n")
    assert command("approvals", "ls", store=store).stdout == "Nothing waits for a person.\n"


def test_a_run_is_named_as_lists_name_it(tmp_path: Path) -> None:
    """The eight digits of `ls` and `approvals ls`, and `last`; exit code 3 for what no run is called."""
    store, bots = tmp_path / "runs.db", written(tmp_path)
    assert command("run", bots, "Pay!", store=store).returncode == 5
    (first,) = objects(command("ls", "--json", store=store).stdout)
    digits = first["execution_id"].removeprefix("exec_")[:8]
    assert command("resume", digits, bots, store=store).returncode == 5
    done = command("resume", "last", bots, "--limits", "3 turns", store=store)
    assert (done.returncode, done.stdout) == (0, "It is paid.\n")
    nobody = command("resume", "ffffffff", bots, store=store)
    assert (nobody.returncode, nobody.stderr) == (3, "tachograph: no run has the id 'ffffffff'\n")


def allowed(run: str, store: Path) -> subprocess.CompletedProcess[str]:
    """Somebody allows the call."""
    return command("approvals", "allow", run, "--by", "ann", store=store)
