from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import SettingsError
from tachograph.upkeep.rule import Rule
from tests.upkeep.kept import DAY


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "retention r='' cannot be used: a rule with older_than, status, tag, tenant or max_bytes"),
        ({"keep_tag": "x"}, "retention r='' cannot be used: a rule with older_than, status, tag, tenant or max_bytes"),
        ({"status": ("paused",)}, "retention r: status='paused' cannot be used: one of completed, failed, cancelled,"),
        ({"older_than": 0}, "retention r: older_than=0 cannot be used: more than 0"),
        ({"max_bytes": -1}, "retention r: max_bytes=-1 cannot be used: more than 0"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(facts: dict[str, Any], message: str) -> None:
    """One without a condition would take everything, one about open runs nothing."""
    with pytest.raises(SettingsError) as refused:
        Rule(name="r", **facts)
    assert str(refused.value).startswith(message)


def test_a_rule_says_its_conditions() -> None:
    """In words, in one line, all that it has."""
    whole = Rule(
        name="r", older_than=30 * DAY, status=("failed", "cancelled"), tag="a", tenant="t", max_bytes=5000, audits=True
    )
    assert whole.conditions == (
        "older than 30d, failed or cancelled, tag a, tenant t, store above 5,000 bytes, audit runs"
    )
    assert Rule(name="r", tag="a").conditions == "tag a"
