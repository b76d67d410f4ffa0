from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import SettingsError
from tachograph.upkeep.alert import EVERYTHING, Alert, Firing, amount
from tests.upkeep.kept import HOUR


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"name": " "}, "alert  : name=' ' cannot be used: a name"),
        ({"metric": "mood"}, "alert a: metric='mood' cannot be used: one of cost, error_rate, latency_p50"),
        ({"of": "limits"}, "alert a: of='limits' cannot be used: one of calls, tools, runs"),
        ({"threshold": float("nan")}, "alert a: threshold=nan cannot be used: 0 or more"),
        ({"window": 1}, "alert a: window=1 cannot be used: a second or more"),
        ({"by": "colour"}, "alert a: by='colour' cannot be used: tag:NAME, tag:PREFIX*, tenant, agent or model"),
        ({"by": "tag"}, "alert a: by='tag' cannot be used: a tag, as tag:team-a or tag:project:*"),
        ({"by": "model", "of": "runs", "metric": "error_rate"}, "alert a: by='model' cannot be used: no model: runs"),
        ({"by": "model:x", "metric": "interventions"}, "alert a: by='model:x' cannot be used: no model: interv"),
        ({"rearm": 1.1}, "alert a: rearm=1.1 cannot be used: a share of the threshold, 0 to 1"),
        ({"min_count": -1}, "alert a: min_count=-1 cannot be used: 0 or more"),
    ],
)
def test_an_alert_that_could_never_be_watched_is_refused(facts: dict[str, Any], message: str) -> None:
    """The message names the alert, the field and what would do."""
    with pytest.raises(SettingsError) as refused:
        Alert(**{"name": "a", "metric": "cost", "threshold": 1.0, **facts})
    assert str(refused.value).startswith(message)


def test_rates_need_something_to_go_by() -> None:
    """A share or a quantile of three calls says nothing; a sum of money says what it says."""
    least = [Alert(name="a", metric=metric, threshold=1).least for metric in ("cost", "error_rate", "latency_p95")]
    assert least == [0, 20, 20]
    assert Alert(name="a", metric="error_rate", threshold=1, min_count=3).least == 3


def test_a_firing_is_told_in_one_line() -> None:
    """Metric, scope, value, threshold and window, in their units; names cannot break the line."""
    firing = Firing(
        alert="spend", metric="cost", scope="tag:team\na", value=5.204, threshold=5.0, window_ns=HOUR, count=7, at=1
    )
    assert firing.line == "alert spend: cost of tag:team�a is $5.20 in the last 1h, above $5.00 (n=7)"
    over = Firing(
        alert="slow", metric="latency_p95", scope=EVERYTHING, value=1.5, threshold=2.0, window_ns=HOUR, count=7, at=1,
        over=True,
    )  # fmt: skip
    assert over.line == "alert slow: latency_p95 is back at 1.5 s in the last 1h, threshold 2 s (n=7)"


def test_amounts_have_the_unit_of_their_metric() -> None:
    """Dollars (small ones in full), shares, seconds, numbers."""
    assert [amount("cost", 0.00125), amount("cost", 1234.5)] == ["$0.00125", "$1,234.50"]
    assert [amount("error_rate", 0.125), amount("latency_p99", 0.0321), amount("interventions", 4.0)] == [
        "12.5 %", "0.0321 s", "4",
    ]  # fmt: skip
