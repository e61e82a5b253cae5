"""Training crystals: the nearest one to a crystal, and what novelty is judged by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.search import find_crystals
from crystal_ldm.data import load_dataset
from crystal_ldm.data.cache import cache_path
from crystal_ldm.data.registry import CSV_DATASETS, DATASETS
from crystal_ldm.errors import DataError
from crystal_ldm.evaluate.description import comparison_form
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.evaluate.uniqueness_and_novelty import find_in_reference
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.parallel.executor import HereExecutor


class Neighbour(NamedTuple):
    """A training crystal that resembles another, and what is said of it: its id, the distance."""

    structure: Structure
    text: str


FindNearest = Callable[[Structure | None], Neighbour | None]


class NearestInTraining:
    """Finds training crystals of a model, such as the nearest one: `NearestInTraining(ldm)`.

    They come, with their ids, from the model's data set where that is prepared, else from the
    model's own file. The first call opens them (a few seconds), later ones take a fraction of one.

    Attributes:
        ldm: the model; another one may take its place.
    """

    def __init__(self, ldm: LDMModule) -> None:
        self.ldm = ldm
        self._lock = threading.Lock()
        self._opened: tuple[LDMModule, Reference] | None = None

    @property
    def cached(self) -> bool:
        """Whether the data set is prepared, so that opening it takes seconds and no network."""
        name = self._data_set
        folder = cache_path() / "datasets"
        named = name in DATASETS and name not in CSV_DATASETS  # a name is enough to open it
        return named and any(folder.glob(f"{name}-*.safetensors"))

    @property
    def _data_set(self) -> str:
        return str(self.ldm.data_info.get("dataset", ""))

    @property
    def where(self) -> str:
        """What the crystals are, in words."""
        if self.cached:
            return f"training set of {self._data_set}"
        return "training crystals in the model's file"

    @property
    def reference(self) -> Reference | None:
        """The training crystals; None where neither data set nor model has any."""
        with self._lock:
            ldm, known = self.ldm, self.ldm.training_crystals
            if self._opened is not None and self._opened[0] is ldm:
                return self._opened[1]
            if self.cached:
                data = load_dataset(self._data_set, progress=False)
                reference = Reference(data.batch(data.indices("train")))
            elif known.empty:
                return None
            else:
                reference = Reference(known.crystals)
            self._opened = ldm, reference
            return reference

    @property
    def known(self) -> Reference:
        """The training crystals.

        Raises:
            DataError: there are none.
        """
        if (reference := self.reference) is None:
            raise DataError("The model's file does not hold the crystals that it was trained on.")
        return reference

    def find(self, text: str) -> Structure:
        """Return the first training crystal that `text` means, see `find_crystals`.

        Raises:
            DataError: there is none.
        """
        known = self.known.crystals
        found = (known.crystals[i] for i in find_crystals(known, text))
        return next(crystal for crystal in found if crystal is not None).to_structure()

    def nearest(self, structure: Structure | None) -> Structure | None:
        """Return the nearest training crystal alone."""
        neighbour = self(structure)
        return None if neighbour is None else neighbour.structure

    def __call__(self, structure: Structure | None) -> Neighbour | None:
        """Return the nearest training crystal, and how it resembles `structure`; of None: None."""
        if structure is None:
            return None
        reference = self.known
        form = comparison_form(Cell.from_structure(structure))
        # One crystal: a worker process would take longer to start than the comparison takes.
        here = HereExecutor()
        (found,) = find_in_reference([form], reference, Thresholds().same_crystal, here)
        crystal = None if found.nearest is None else reference.crystals.crystals[found.nearest]
        if crystal is None or found.nearest is None:
            return None
        name = f", {reference.crystals.ids[found.nearest]}" if self.cached else ""
        said = {
            "same crystal": f"the same crystal, RMSE {found.rmse:.3f}",
            "same formula": "another structure of this formula",
        }.get(found.kind, f"closest composition: {crystal.formula}")
        return Neighbour(crystal.to_structure(), f"Training set{name}: {said}")


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
        self.viewer.title = "Nearest training crystal"
        self.viewer.notice.say("Looking for it…")
        self._latest.start(
            lambda: self._find(structure), self._show, failed=lambda: self.viewer.show(None)
        )

    def _show(self, neighbour: Neighbour | None) -> None:
        self.viewer.notice.clear()
        self.viewer.title = neighbour.text if neighbour else "No training crystal is close."
        self.viewer.show(neighbour.structure if neighbour else None)
