from __future__ import annotations

from tachograph.limits import reasons

SAID = {
    "again": reasons.again("search", 2),
    "not_run": reasons.not_run("search", 3),
    "skipped": reasons.skipped("search", 4),
    "looped": reasons.looped("search", 6),
    "asked_too_often": reasons.asked_too_often("search", 3),
    "circling": reasons.circling(["search", "read"], 2),
    "circled": reasons.circled(["search", "read"], 3),
    "failing": reasons.failing("search", "TimeoutError", 4, 5),
    "failed": reasons.failed("search", "TimeoutError", 5),
    "standing": reasons.standing("search", 5, 6),
    "stood": reasons.stood("search", 6),
    "too_soon": reasons.too_soon("search", 2.5),
    "polled_enough": reasons.polled_enough("search", 3),
}


def test_every_text_is_short_and_names_the_tool() -> None:
    """A model's context has room for all of them, and each says which tool it is about."""
    assert [name for name, text in SAID.items() if "search" not in text or len(text) > 260] == []


def test_every_text_says_how_often_or_how_long() -> None:
    """Each holds its figure, spelled as people do."""
    figures = {
        "again": "request 2", "not_run": "twice before", "skipped": "request 4", "looped": "6 times",
        "asked_too_often": "3 times", "circling": "2 rounds", "circled": "3 rounds", "failing": "4 times",
        "failed": "5 times", "standing": "5 times", "stood": "6 times", "too_soon": "2.5 seconds",
        "polled_enough": "3 times",
    }  # fmt: skip
    assert {name for name, figure in figures.items() if figure in SAID[name]} == SAID.keys()
    assert [reasons.times(count) for count in (1, 2, 3)] == ["once", "twice", "3 times"]


def test_whoever_can_still_do_otherwise_is_told_what() -> None:
    """Texts that reach a model before the end say what to do instead; a skipped call says nothing new."""
    told = {name for name, text in SAID.items() if reasons.INSTEAD in text}
    assert told == {"again", "not_run", "circling", "circled"}
    assert "answer with what you have" in SAID["standing"]
    assert "find out why it fails" in SAID["failing"]
