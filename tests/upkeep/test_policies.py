from __future__ import annotations

import re
from pathlib import Path

import pytest

from tachograph.errors import SettingsError
from tachograph.settings import Settings
from tachograph.settings import read as read_settings
from tachograph.upkeep.alert import Alert
from tachograph.upkeep.policies import Policies, policies_for, read
from tachograph.upkeep.rule import Rule
from tests.house.source import ROOT
from tests.upkeep.kept import DAY, HOUR, SECOND

WHOLE = """
[[retention]]
name = "old failures"
older_than = "30d"
status = ["failed", "cancelled"]
tag = "team-a"
tenant = "acme"
max_bytes = "5 GB"
keep_tag = "legal"
archive = "archive"

[[retention]]
audits = true
older_than = "1w"

[[alert]]
name = "spend"
metric = "cost"
threshold = "$5"
window = "1h"
by = "tag:project:*"
tenant = "acme"
callback = "my.module:alerts.call"

[[alert]]
metric = "latency_p95"
threshold = "2500ms"
of = "runs"
min_count = 3
rearm = "80 %"

[[alert]]
name = "wrong"
metric = "error_rate"
threshold = "10 %"

[[alert]]
name = "stopped"
metric = "interventions"
threshold = 0
"""


def test_a_file_becomes_values() -> None:
    """Every key of both kinds of entry; an entry without a name is called by its place."""
    assert read(WHOLE, "/etc/policies.toml") == Policies(
        rules=(
            Rule(
                name="old failures", older_than=30 * DAY, status=("failed", "cancelled"), tag="team-a", tenant="acme",
                max_bytes=5 * 10**9, keep_tag="legal", archive=Path("/etc/archive"),
            ),
            Rule(name="2", audits=True, older_than=7 * DAY),
        ),
        alerts=(
            Alert(
                name="spend", metric="cost", threshold=5.0, window=HOUR, by="tag:project:*", tenant="acme",
                callback="my.module:alerts.call",
            ),
            Alert(name="2", metric="latency_p95", threshold=2.5, of="runs", min_count=3, rearm=0.8),
            Alert(name="wrong", metric="error_rate", threshold=0.1),
            Alert(name="stopped", metric="interventions", threshold=0),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retention = oops", "p.toml='"),
        ("[[alerts]]", "p.toml: alerts=[{}] cannot be used: [[retention]] or [[alert]]"),
        ("retention = 3", "p.toml: retention=3 cannot be used: entries that begin with [[retention]]"),
        ("[[retention]]\nname=3", "p.toml: retention 1: name=3 cannot be used: a name"),
        ("[[retention]]\nname='a'\ntag='x'\n[[retention]]\nname='a'", "p.toml: retention a: name='a' cannot be used"),
        ("[[retention]]\nname='a'\nolder='30d'", "p.toml: retention a: older='30d' cannot be used: one of name, older"),
        ("[[retention]]\nolder_than='30'", "p.toml: retention 1: older_than='30' cannot be used: a time such as 30d"),
        ("[[retention]]\nmax_bytes='5'", "p.toml: retention 1: max_bytes='5' cannot be used: a size such as 5 GB"),
        ("[[retention]]\nstatus='started'", "p.toml: retention 1: status='started' cannot be used: one of completed"),
        ("[[retention]]\nstatus=3", "p.toml: retention 1: status=3 cannot be used: a text"),
        ("[[retention]]\ntag='x'\naudits='yes'", "p.toml: retention 1: audits='yes' cannot be used: true or false"),
        ("[[retention]]\nname='all'", "p.toml: retention all='' cannot be used: a rule with older_than"),
        ("[[alert]]\nname='a'\nthreshold=1", "p.toml: alert a: metric=None cannot be used: a value: an alert needs"),
        ("[[alert]]\nname='a'\nmetric='cost'", "p.toml: alert a: threshold=None cannot be used: a value: an alert"),
        ("[[alert]]\nmetric='cost'\nthreshold='5 EUR'", "p.toml: alert 1: threshold='5 EUR' cannot be used: an amount"),
        ("[[alert]]\nmetric='latency_p50'\nthreshold=5", "p.toml: alert 1: threshold=5 cannot be used: a time such"),
        ("[[alert]]\nmetric='mood'\nthreshold=5", "p.toml: alert 1: metric='mood' cannot be used: one of cost"),
        (
            "[[alert]]\nmetric='cost'\nthreshold=5\ncallback='x'",
            "p.toml: alert 1: callback='x' cannot be used: module:",
        ),
    ],
)
def test_a_mistake_is_named_by_file_entry_and_key(text: str, message: str) -> None:
    """Unknown keys, bad amounts, names given twice, entries that say too little."""
    with pytest.raises(SettingsError) as refused:
        read(text, "p.toml")
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(("document", "count"), [("retention.md", 4), ("alerts.md", 3)])
def test_the_files_that_documents_show_are_read(document: str, count: int) -> None:
    """Every TOML example in the documents about policies is one that works."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    shown = [read(example) for example in re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    assert sum(len(policies.rules) + len(policies.alerts) for policies in shown) == count


def test_policies_are_found_where_settings_say(tmp_path: Path) -> None:
    """`policies.toml` in the data folder when there is one, or the file that was named, which must be there."""
    settings = Settings(home=tmp_path)
    assert policies_for(settings) == Policies()
    (tmp_path / "policies.toml").write_text("[[retention]]\nname = 'a'\ntag = 'x'")
    assert policies_for(settings) == Policies((Rule(name="a", tag="x"),))
    named = read_settings({"TACHOGRAPH_HOME": str(tmp_path), "TACHOGRAPH_POLICIES": str(tmp_path / "other.toml")})
    with pytest.raises(SettingsError, match=r"other.toml' cannot be used: a TOML file that exists"):
        policies_for(named)
    (tmp_path / "other.toml").write_text("[[alert]]\nmetric='cost'\nthreshold=2\nwindow='90s'")
    assert policies_for(named) == Policies((), (Alert(name="1", metric="cost", threshold=2.0, window=90 * SECOND),))
