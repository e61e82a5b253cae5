"""The training crystal that is nearest to the selected one, drawn beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure


@dataclass
class Neighbour:
    """A training crystal that resembles the selected one.

    Attributes:
        structure: the training crystal.
        text: what is said of it, for example its id and the distance.
    """

    structure: Structure
    text: str


FindNearest = Callable[["Structure"], Neighbour | None]


class NeighbourView:
    """Finds and shows the neighbour of a crystal: `NeighbourView(find).seek(structure)`.

    Its viewer is made at the first use, as every viewer costs the browser a WebGL context.
    """

    def __init__(self, find: FindNearest, height: int = 340) -> None:
        self._find = find
        self._height = height

    @cached_property
    def viewer(self) -> CrystalViewer:
        """What shows it."""
        return CrystalViewer(height=self._height, toolbar=False)

    @cached_property
    def _latest(self) -> Latest:
        return Latest(self.viewer.notice)

    def seek(self, structure: Structure | None) -> None:
        """Show the neighbour of `structure` as soon as it is found, in the background."""
        self.viewer.title = "Looking for the nearest training crystal…"
        self._latest.start(lambda: None if structure is None else self._find(structure), self._show)

    def _show(self, neighbour: Neighbour | None) -> None:
        self.viewer.title = neighbour.text if neighbour else "No training crystal is close."
        self.viewer.show(neighbour.structure if neighbour else None)
