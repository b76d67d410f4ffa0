from __future__ import annotations

import asyncio
import json

import pytest

from tachograph.agent.reminders import Reminding
from tachograph.agent.team.dialogues import Dialogue, Team, forked
from tachograph.agent.transcript import INTERRUPTED, check
from tachograph.events.chat import Message, ToolUse, assistant, result, system, user

CALL = ToolUse("c1", "ask_w")


def test_a_dialogue_is_that_of_one_asker_with_one_tool() -> None:
    """The same pair has the same one, every other pair has another."""
    team = Team()
    one = team.dialogue("lead", "ask_w")
    assert team.dialogue("lead", "ask_w") is one
    assert len({id(one), id(team.dialogue("other", "ask_w")), id(team.dialogue("lead", "again"))}) == 3
    team.clear()
    assert team.dialogue("lead", "ask_w") is not one


def test_what_is_kept_is_valid() -> None:
    """A conversation that was broken off in a call is closed."""
    dialogue = Dialogue()
    dialogue.keep([user("go"), assistant("", CALL)], Reminding(seen=2))
    assert dialogue.messages == (user("go"), assistant("", CALL), result(CALL, INTERRUPTED))
    assert dialogue.reminding == Reminding(seen=2)


def test_one_call_goes_on_with_a_dialogue_and_others_with_copies() -> None:
    """They know what was said before the reply, however quick the first is; what they say is forgotten, all of it."""
    dialogue = Dialogue([user("before")])
    dialogue.team.dialogue("w", "ask_v").messages = (user("deep"),)
    reply = assistant("", CALL, CALL, CALL)
    first = dialogue.joined(reply)
    assert first is dialogue
    first.keep([user("before"), assistant("said")], Reminding())
    second, third = dialogue.joined(reply), dialogue.joined(reply, reset=True)
    assert (second.messages, third.messages) == ((user("before"),), ())
    second.keep([user("aside")], Reminding())
    second.team.dialogue("w", "ask_v").messages = ()
    assert dialogue.messages == (user("before"), assistant("said"))
    assert dialogue.team.dialogue("w", "ask_v").messages == (user("deep"),)
    assert dialogue.joined(assistant("", CALL)) is dialogue
    assert [dialogue.joined(), dialogue.joined()] == [dialogue, dialogue]


def test_a_reset_forgets_everything() -> None:
    """What was said, what is kept beside it, and what the worker said to its own workers."""
    dialogue = Dialogue([user("before")])
    dialogue.shelf.put("x" * 100, 50)
    dialogue.team.dialogue("w", "ask_v").messages = (user("deep"),)
    joined = dialogue.joined(reset=True)
    assert (joined is dialogue, joined.messages, joined.shelf.holds, joined.team.plain()) == (True, (), False, [])


def test_turns_are_waited_for_in_order_and_in_time() -> None:
    """Two at a time where two may: the third waits for its turn, and not longer than it has time."""
    dialogue, order = Dialogue(), list[str]()

    async def work(name: str, seconds: float | None = None) -> None:
        try:
            async with dialogue.turn(2, seconds):
                order.append(f"{name} begins")
                await asyncio.sleep(0.1)
                order.append(f"{name} ends")
        except TimeoutError:
            order.append(f"{name} is late")

    async def all_of_them() -> None:
        await asyncio.gather(work("a"), work("b"), work("c"), work("d", 0.001))

    asyncio.run(all_of_them())
    assert order[:2] == ["a begins", "b begins"]
    assert order.index("c begins") > order.index("a ends")
    assert "d is late" in order
    asyncio.run(all_of_them())  # another event loop


@pytest.mark.parametrize(
    ("conversation", "copied"),
    [
        ([system("s"), user("hi"), assistant("", CALL)], [user("hi")]),
        ([user("hi"), assistant("Let me ask.", CALL, ToolUse("c2", "add"))], [user("hi")]),
        (
            [user("hi"), assistant("", CALL), result(CALL, "yes"), assistant("", CALL)],
            [user("hi"), assistant("", CALL), result(CALL, "yes")],
        ),
        ([user("hi"), assistant("hello")], [user("hi"), assistant("hello")]),
        ([], []),
    ],
)
def test_a_copy_of_the_conversation_is_valid(conversation: list[Message], copied: list[Message]) -> None:
    """Without instructions, and without the reply that is just being acted on; ids that repeat change nothing."""
    found = forked(conversation)
    check(found)
    assert found == tuple(copied)


def test_a_team_is_plain_values_and_back() -> None:
    """For a snapshot: who asked by which tool, what was said, and the same of the worker's own workers."""
    team = Team()
    team.dialogue("lead", "ask_w").messages = (user("hi"), assistant("", CALL), result(CALL, "yes"))
    team.dialogue("lead", "ask_w").team.dialogue("w", "ask_v").messages = (user("deep"),)
    plain = team.plain()
    assert plain == [
        {
            "agent": "lead",
            "tool": "ask_w",
            "messages": [message.plain() for message in team.dialogue("lead", "ask_w").messages],
            "team": [{"agent": "w", "tool": "ask_v", "messages": [{"role": "user", "content": "deep"}], "team": []}],
        }
    ]
    assert Team.read(json.loads(json.dumps(plain))).plain() == plain
