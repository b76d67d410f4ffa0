from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tachograph.cli.draw.columns import NARROWEST, Column, table


def _lines(columns: list[Column], width: int, *, header: bool = True) -> list[str]:
    console = Console(width=max(width, 200), color_system=None)
    with console.capture() as captured:
        console.print(table(columns, width, header=header))
    return [line.rstrip() for line in captured.get().splitlines()]


def _column(name: str, *texts: str, **more: bool | int) -> Column:
    return Column(name, [Text(text) for text in texts], **more)  # type: ignore[arg-type]  # flags and ranks by name


COLUMNS = [
    _column("name", "a name that is rather long", "short", gives_way=True),
    _column("cost", "$1.00", "$0.25", right=True),
    _column("luck", "good", "bad", keep=3),
    _column("age", "12", "3", right=True, keep=5),
    _column("empty", "", "", keep=8),
]


def test_with_room_everything_is_shown() -> None:
    """Every column with a text is there in its order; one without any is not."""
    assert _lines(COLUMNS, 80) == [
        "name                         cost  luck  age",
        "a name that is rather long  $1.00  good   12",
        "short                       $0.25  bad     3",
    ]


def test_a_column_gives_way_first_and_then_the_least_important_goes() -> None:
    """Texts are cut to what is left; when that is not enough, the column with the lowest rank is left out."""
    assert _lines(COLUMNS, 40)[1] == "a name that is rather…  $1.00  good   12"
    assert _lines(COLUMNS, 30, header=False) == ["a name that is ra…  $1.00  12", "short               $0.25   3"]
    assert _lines(COLUMNS, 10)[1] == "a name that is …  $1.00"


@given(
    st.integers(min_value=NARROWEST + 7, max_value=60), st.lists(st.text("aé漢 ", max_size=40), min_size=2, max_size=2)
)
def test_no_line_is_wider_than_asked_for(width: int, names: list[str]) -> None:
    """Whatever the cells hold, wide letters too, the table keeps to its width."""
    columns = [_column("name", *names, gives_way=True), *COLUMNS[1:]]
    assert max(cell_len(line) for line in _lines(columns, width)) <= width
