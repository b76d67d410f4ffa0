from __future__ import annotations

from tachograph.cli.desk import shop


def test_every_tool_that_is_asked_for_is_offered() -> None:
    """No script asks for a tool that the models were not told of."""
    offered = {tool["function"]["name"] for tool in shop.TOOLS}
    scripts = (
        shop.extension(),
        shop.complaint(),
        shop.decision(),
        shop.parcel(),
        shop.note(),
        shop.figures(),
        shop.theme(),
    )
    asked = {ask.tool for script in scripts for reply in script for ask in reply.asks}
    assert asked - offered == set()


def test_scripts_end_with_an_answer_but_for_the_runaway() -> None:
    """Each conversation comes to an end by itself, except the one that must be stopped."""
    ending = (shop.extension(), shop.complaint(), shop.decision(), shop.note(), shop.figures(), shop.theme())
    assert [script[-1].asks for script in ending] == [()] * len(ending)
    assert all(reply.asks == shop.parcel()[0].asks for reply in shop.parcel())
