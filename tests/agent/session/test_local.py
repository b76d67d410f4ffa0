from __future__ import annotations

import os

import pytest
from msgspec import structs

from tachograph.agent.session import local as module
from tachograph.agent.session.local import local
from tachograph.compose import System
from tachograph.events.chat import user
from tachograph.store.sessions.head import Head

HEAD = Head(tenant="t", id="s", created_at=1, updated_at=1, version=3)


def test_a_conversation_is_remembered_for_the_version_it_belongs_to(system: System) -> None:
    """After a commit elsewhere, or when the head was made anew, it is not what was said."""
    here = local(system)
    here.remember(HEAD, (user("a"),))
    assert here.said(HEAD) == (user("a"),)
    assert here.said(structs.replace(HEAD, version=4)) is None
    assert here.said(structs.replace(HEAD, created_at=2)) is None
    assert here.said(structs.replace(HEAD, id="other")) is None


def test_only_so_many_are_remembered(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was longest not asked for is forgotten."""
    monkeypatch.setattr(module, "MOST", 2)
    here, heads = local(system), [structs.replace(HEAD, id=str(n)) for n in range(3)]
    for head in heads[:2]:
        here.remember(head, ())
    assert here.said(heads[0]) == ()
    here.remember(heads[2], ())
    assert [here.said(head) for head in heads] == [(), None, ()]


def test_a_forked_child_has_one_of_its_own(system: System) -> None:
    """Its leases are its own, by its own name."""
    here = local(system)
    assert local(system) is here
    child = os.fork()
    if not child:
        system.after_fork()  # what a process does for the system it was configured with
        os._exit(0 if local(system) is not here and local(system).heads is system.heads else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert local(system) is here
