from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from tachograph.cli.quick import QuickCommand

app = typer.Typer(rich_markup_mode=None)


@app.command(cls=QuickCommand)
def tell(
    names: Annotated[list[str] | None, typer.Argument()] = None,
    *,
    count: Annotated[int, typer.Option()] = 1,
    most: Annotated[int | None, typer.Option()] = None,
    where: Annotated[Path | None, typer.Option()] = None,
    loud: Annotated[bool, typer.Option("--loud")] = False,
    tags: Annotated[list[str] | None, typer.Option("--tag")] = None,
) -> None:
    """Tell what was given."""
    typer.echo(repr((names, count, most, where, loud, tags)))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "(None, 1, None, None, False, None)"),
        (["a", "b", "--count", "3", "--loud"], "(['a', 'b'], 3, None, None, True, None)"),
        (
            ["--most", "-2", "--where", "/x", "--tag", "a", "--tag", "b"],
            "(None, 1, -2, PosixPath('/x'), False, ['a', 'b'])",
        ),
    ],
)
def test_options_are_read_as_their_types_say(given: list[str], told: str) -> None:
    """Texts, numbers, paths, flags and lists arrive as the function expects them."""
    assert CliRunner().invoke(app, given).output == f"{told}\n"


def test_a_number_that_is_none_is_refused() -> None:
    """A word where a number belongs is bad usage, said in one sentence."""
    result = CliRunner().invoke(app, ["--count", "many"])
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == "Error: Invalid value for '--count': 'many' is not a whole number."
