"""Tables that fit the screen: some columns give way, and where that is not enough the least important ones go."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

GAP = 2
"""Spaces between columns."""
NARROWEST = 16
"""A column that gives way keeps at least so much, if it has it."""
ALWAYS = 9


class Column(Struct, frozen=True):
    """One column: its cells from top to bottom."""

    name: str
    cells: Sequence[Text]
    right: bool = False
    keep: int = ALWAYS
    """The lower, the sooner it goes; ALWAYS never does."""
    gives_way: bool = False
    """Its cells are cut to what the others leave."""

    @property
    def width(self) -> int:
        """Cells that it wants."""
        return max([cell_len(self.name), *(cell_len(cell.plain) for cell in self.cells)])

    @property
    def least(self) -> int:
        """Cells that it must have."""
        return min(self.width, NARROWEST) if self.gives_way else self.width


def table(columns: Sequence[Column], width: int, *, header: bool = True) -> Table:
    """The columns that fit into `width` cells, each row on one line. A column without any text is left out."""
    shown = _chosen(columns, width)
    spare = max(0, width - _needs(shown))
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=header, header_style="dim")
    fitted = []
    for column in shown:
        room = min(column.width, column.least + spare)
        spare -= room - column.least
        drawn.add_column(column.name, justify="right" if column.right else "left", no_wrap=True)
        fitted.append([_cut(cell, room) for cell in column.cells])
    for row in zip(*fitted, strict=True):
        drawn.add_row(*row)
    return drawn


def _chosen(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that always stay, and of the others the most important ones that fit beside them."""
    chosen = {place for place, column in enumerate(columns) if column.keep == ALWAYS}
    told = [place for place, column in enumerate(columns) if any(cell.plain for cell in column.cells)]
    for place in sorted(set(told) - chosen, key=lambda place: -columns[place].keep):
        if _needs([columns[other] for other in (*chosen, place)]) <= width:
            chosen.add(place)
    return [columns[place] for place in sorted(chosen)]


def _needs(columns: Sequence[Column]) -> int:
    return sum(column.least + GAP for column in columns) - GAP


def _cut(cell: Text, room: int) -> Text:
    if cell_len(cell.plain) <= room:
        return cell
    cut = cell.copy()
    cut.truncate(room, overflow="ellipsis")
    return cut
