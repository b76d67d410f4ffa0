from __future__ import annotations

import pytest

from tachograph.agent.team.ancestry import barred


@pytest.mark.parametrize(
    ("path", "worker", "recursive", "why"),
    [
        (["a"], "b", False, ""),
        (["a", "b"], "c", False, ""),
        (["a", "b"], "a", True, ""),
        (["a", "b", "c"], "a", False, "Not asked: a is at work on this already (a → b → c → a). "),
        (["a", "b"], "b", False, "Not asked: You are at work on this already (a → b → b). "),
    ],
)
def test_nobody_works_for_whom_it_waits(path: list[str], worker: str, recursive: bool, why: str) -> None:
    """The whole path counts, the first agent too; the text says who waits for whom and what to do instead."""
    rest = "Do it yourself, ask somebody else, or answer with what you know." if why else ""
    assert barred(path, worker, recursive=recursive) == why + rest
