from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events import ids

times = st.integers(0, 2**63 - 1)
entropies = st.binary(min_size=6, max_size=16)
run_ids = st.builds(ids.run_id, times, entropies)
steps = st.integers(0, 2**32 - 1)


@given(times, entropies)
def test_a_run_id_is_a_uuid_of_version_7(at: int, entropy: bytes) -> None:
    """It carries the millisecond of its beginning, version 7, the standard variant, and 32 zero bits at its end."""
    made = uuid.UUID(ids.run_id(at, entropy))
    assert (made.version, made.variant, made.int >> 80, made.int & 0xFFFF_FFFF) == (
        7, uuid.RFC_4122, at // 1_000_000, 0,
    )  # fmt: skip


@given(times, entropies)
def test_an_execution_id_made_here_is_known_as_one(at: int, entropy: bytes) -> None:
    """Its form tells it from a grouping id of a program's own, which may hold anything."""
    made = ids.execution_id(at, ids.run_id(at, entropy))
    assert ids.is_execution_id(made)
    assert not any(map(ids.is_execution_id, (made.upper(), f"{made}x", f" {made}", made[5:], "exec_123", "")))


@given(times, times, entropies, entropies)
def test_run_ids_sort_by_time(one: int, two: int, entropy: bytes, other: bytes) -> None:
    """Of two runs that began in different milliseconds the earlier has the smaller id, as text too."""
    if one // 1_000_000 < two // 1_000_000:
        assert ids.run_id(one, entropy) < ids.run_id(two, other)


@given(times, st.binary(min_size=6, max_size=6), st.integers(0, 47))
def test_entropy_tells_runs_apart(at: int, entropy: bytes, bit: int) -> None:
    """Any of the 42 bits that are used makes another id of the same time; the other six do not."""
    flipped = (int.from_bytes(entropy, "big") ^ 1 << bit).to_bytes(6, "big")
    assert (ids.run_id(at, entropy) != ids.run_id(at, flipped)) is (bit not in range(30, 36))


@given(run_ids, steps)
def test_a_step_id_names_its_run_and_step(run: str, step: int) -> None:
    """Run and step can be read back from a step's id, and step 0 is the run."""
    made = ids.step_id(run, step)
    assert ids.split_step_id(made) == (run, step)
    assert uuid.UUID(made).version == 7
    assert (made == run) is (step == 0)


@given(run_ids, steps, steps)
def test_step_ids_sort_by_step(run: str, one: int, two: int) -> None:
    """Inside a run, ids sort as the steps began."""
    assert (ids.step_id(run, one) < ids.step_id(run, two)) is (one < two)


@pytest.mark.parametrize("text", ["", "exec_0", "0197", "not-a-uuid", "g" * 32])
def test_other_text_is_no_step_id(text: str) -> None:
    """Text that is no UUID is a ValueError."""
    with pytest.raises(ValueError, match=r"UUID|base 16"):
        ids.split_step_id(text)


@given(st.text(max_size=20), times)
def test_an_imported_run_always_has_the_same_id(source: str, at: int) -> None:
    """The id of a run recorded elsewhere depends on its source and time alone; another source gives another id."""
    assert ids.run_id_for(source, at) == ids.run_id_for(source, at)
    assert ids.run_id_for(source, at) != ids.run_id_for(source + "'", at)


def test_an_imported_run_has_this_very_id() -> None:
    """The way from source to id never changes, or importing again would double every run."""
    assert ids.run_id_for("claude-code:session-1", 1_750_000_000_000_000_000) == "01977420-dc00-76b8-ac51-c52100000000"


@given(times, entropies)
def test_an_execution_id_has_its_public_form(at: int, entropy: bytes) -> None:
    """It is `exec_`, 12 hex digits that come from the run, and the unix second it began."""
    made = ids.execution_id(at, ids.run_id(at, entropy))
    assert re.fullmatch(rf"exec_[0-9a-f]{{12}}_{at // 1_000_000_000}", made)


@given(times, st.binary(min_size=6, max_size=6), st.integers(0, 47))
def test_execution_ids_differ_with_their_runs(at: int, entropy: bytes, bit: int) -> None:
    """Runs of the same second with different entropy have different execution ids."""
    one = ids.run_id(at, entropy)
    two = ids.run_id(at, (int.from_bytes(entropy, "big") ^ 1 << bit).to_bytes(6, "big"))
    assert (ids.execution_id(at, one) == ids.execution_id(at, two)) is (one == two)
