from __future__ import annotations

from tachograph.events.content import Content
from tachograph.events.note import Loss
from tachograph.fold import receipt
from tachograph.queries.answers.receipts import run_receipt
from tachograph.web.run.receipt import MOST_STEPS, checked
from tests.queries.views.talk import Talk
from tests.strategies import Tape


def test_a_run_that_is_all_there() -> None:
    """It is complete, and calls without usage or price are said without counting against it."""
    talk = Talk()
    told = checked(run_receipt(receipt.fold(talk.events, stored=len(talk.events))))
    said = {check.name: (check.tone, check.text) for check in told.checks}
    assert told.is_complete
    assert said["Events"] == ("good", f"{len(talk.events)} events, none missing")
    assert said["Lost while recording"] == ("good", "None")
    assert said["Usage"] == ("plain", "3 model calls. Nobody counted the tokens of 1 completed ones")
    assert said["Prices"][1].endswith("without a price: the cost is a lower bound")


def test_everything_that_is_not_as_it_was() -> None:
    """What is missing, lost, cut, given up, masked, replaced, withheld or open is named and counted."""
    tape = Tape("broken")
    tape.begin()
    tape.say("user", '"a"')
    tape.add(Loss(reason="journal_full", events=3, bytes=2_048))
    for number in range(MOST_STEPS + 2):
        tape.step(f"work {number}", input=Content(level="none", marks=("shed",)))
    tape.step("cut", input=Content(text='"a"', size=3, full_size=4_099, redacted={"email": 2}, marks=("nan",)))
    tape.step("hashed", input=Content(hash="ab" * 32, size=4, level="hashed"))
    tape.step("waits", input=Content(level="pending"))
    told = checked(run_receipt(receipt.fold([tape.events[0], *tape.events[2:]], stored=99)))
    said = {check.name: check.text for check in told.checks if check.text != "None"}
    bad = {check.name for check in told.checks if check.tone == "bad"}
    assert not told.is_complete
    assert bad == {
        "Events", "Lost while recording", "Steps without an end", "Cut", "Given up", "Waiting to be masked",
    }  # fmt: skip
    assert "1 before the last one are missing; the store says that it holds 99" in said["Events"]
    assert said["Lost while recording"] == "3 events, 2 KiB: journal_full × 1"
    assert (said["Masked"], said["Kept without its text"]) == (
        "by rule: email × 2",
        "as was asked for: kept as a hash only × 1",
    )
    assert "at least 4 KiB" in said["Cut"]
    assert (len(told.open), told.more_open > 0) == (MOST_STEPS, True)
