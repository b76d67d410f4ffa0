from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.rules import PROFILES, Rules
from tachograph.agent.spec import Spec, effective
from tachograph.errors import SettingsError


@pytest.mark.parametrize(("name", "figures"), [(name, PROFILES[name]) for name in PROFILES], ids=list(PROFILES))
def test_a_profile_states_figures_that_the_agent_may_state_itself(name: str, figures: Any) -> None:
    """Iterations, nudges, retries and schema retries come from the profile, unless they are given."""
    spec = Spec(name="a", model="m", profile=name)
    assert (spec.most_nudges, spec.most_schema_retries) == (figures.nudges, figures.schema_retries)
    assert spec.retrying.attempts == figures.retries + 1
    assert effective(spec, None, {}).iterations == figures.iterations
    own = Spec(name="a", model="m", profile=name, nudges=7, schema_retries=9, limits="11 turns")
    assert (own.most_nudges, own.most_schema_retries, effective(own, None, {}).iterations) == (7, 9, 11)


def test_without_a_profile_the_plain_figures_hold() -> None:
    """Two nudges and one schema retry, unless the agent says otherwise."""
    assert (Rules().most_nudges, Rules().most_schema_retries) == (2, 1)
    assert (Rules(nudges=0, schema_retries=4).most_nudges, Rules(schema_retries=4).most_schema_retries) == (0, 4)


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    """The error names them."""
    with pytest.raises(SettingsError, match="researcher"):
        Rules(profile="wizard")
