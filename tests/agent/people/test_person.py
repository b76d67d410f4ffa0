from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.people.person import Person, effect_id
from tachograph.errors import SettingsError


def test_a_function_alone_is_a_person() -> None:
    """Tried as often as is usual; a person stays what it is, and nobody is nobody."""
    given = Person(print, attempts=1)
    assert (Person.of(print), Person.of(given), Person.of(None)) == (Person(print), given, None)


@pytest.mark.parametrize(
    "facts",
    [{"attempts": 0}, {"seconds": 0}, {"within": -1}, {"wait": -1}, {"after": ("tired",)}, {"effect": "desk"}],
)
def test_what_cannot_be_used_is_refused(facts: dict[str, Any]) -> None:
    """The error names the field."""
    with pytest.raises(SettingsError, match=next(iter(facts))):
        Person(**{"effect": print, **facts})


def test_an_effect_has_one_name_for_a_run_and_a_cause() -> None:
    """The same facts give the same name; another run, cause or metric another one."""
    first = effect_id("r", "limit", "deadline")
    others = {effect_id("r2", "limit", "deadline"), effect_id("r", "error", "deadline"), effect_id("r", "limit", "x")}
    assert (len(others - {first}), effect_id("r", "limit", "deadline")) == (3, first)
    assert first.startswith("handoff_")
