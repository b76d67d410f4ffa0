from __future__ import annotations

from tachograph.agent.compact.draft import Draft, notice, prune, window
from tachograph.agent.compact.measure import size
from tachograph.agent.compact.policy import Compaction
from tachograph.agent.tools.results import Shelf
from tachograph.events.chat import Media, Message, ToolUse, result, system, user
from tests.agent.compact.conversations import turn

LOOK = ToolUse("c", "look")
LONG = "0123456789" * 300


def test_a_message_stands_where_the_first_of_those_stood() -> None:
    """The rest keeps its order and knows where it was."""
    talk = Draft.of([system("s"), *turn("a", "1"), *turn("b")])
    found = talk.without([2, 3, 4], user("stands for them"))
    assert [message.text for message in found.messages] == ["s", "a", "stands for them", "b", "Done."]
    assert found.origins == (0, 1, None, 5, 6)
    assert found.archived() == [(2, 4)]
    assert found.without([1, 3], user("x")).archived() == [(1, 5)]
    assert talk.archived() == []


def test_a_long_result_gives_way_to_its_beginning_and_a_handle() -> None:
    """The rest is on the shelf; short results and everything that is no result are left alone, by identity."""
    shelf, talk = Shelf(), [user(LONG), result(LOOK, "short"), result(LOOK, LONG)]
    found = prune(Draft.of(talk), [1, 2], shelf, 2000, 500, failures=False)
    assert found.messages[0] is talk[0]
    assert found.messages[1] is talk[1]
    cut = found.messages[2].text
    assert (cut[:100], 'handle="result_1"' in cut, len(cut) <= 500) == (LONG[:100], True, True)
    assert shelf.get("result_1") == LONG
    again = prune(found, [1, 2], shelf, 2000, 500, failures=True)
    assert again.messages == found.messages


def test_failures_are_kept_longer() -> None:
    """A result that says what went wrong is cut only when everything is."""
    shelf, wrong = Shelf(), result(LOOK, LONG)
    shelf.failures.add(wrong)
    assert prune(Draft.of([wrong]), [0], shelf, 2000, 500, failures=False).messages == (wrong,)
    assert prune(Draft.of([wrong]), [0], shelf, 2000, 500, failures=True).messages != (wrong,)


def test_media_in_results_go() -> None:
    """A word says what was there; the text beside it is cut like any other."""
    shelf, picture = Shelf(), Media("image", "image/png", data=b"x")
    few = prune(Draft.of([result(LOOK, ["a", picture])]), [0], shelf, 2000, 500, failures=False)
    assert few.messages[0].content == "a\n[image image/png, left out to make room]"
    many = prune(Draft.of([result(LOOK, [LONG, picture])]), [0], shelf, 2000, 500, failures=False)
    assert shelf.get("result_1") == f"{LONG}\n[image image/png, left out to make room]"
    assert len(many.messages[0].text) <= 500


def test_a_result_that_was_cut_before_keeps_its_handle() -> None:
    """It is cut again under the same one."""
    shelf = Shelf()
    shown = result(LOOK, shelf.put(LONG * 5, 3000))
    found = prune(Draft.of([shown]), [0], shelf, 2000, 500, failures=False).messages[0].text
    assert 'handle="result_1"' in found
    assert f"The result has {len(LONG * 5)} characters" in found
    assert found.startswith(LONG[:100])


def test_as_few_exchanges_go_as_must() -> None:
    """Oldest first; one line says how many messages, and what a person said first stays."""
    talk = Draft.of([message for text in "abcd" for message in turn(text, answer=text * 99)])
    policy = Compaction(keep=1)

    def texts(most: int) -> list[str]:
        return [message.text for message in window(talk, policy, lambda left: left <= most).messages]

    assert texts(size(talk.messages) - 99) == ["a", notice(3).text, "c", "c" * 99, "d", "d" * 99]
    assert texts(0) == ["a", notice(5).text, "d", "d" * 99]
    again = window(Draft.of(window(talk, policy, lambda left: False).messages), policy, lambda left: False)
    assert [message.text for message in again.messages] == texts(0)


def test_a_notice_counts() -> None:
    """One message is no messages."""
    assert notice(1) == Message("user", "[1 earlier message was left out here to make room.]", name="notice")
    assert notice(2).text == "[2 earlier messages were left out here to make room.]"
