"""Training crystals: the nearest one to a crystal, and what novelty is judged by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.search import chemical_system, find_crystals
from crystal_ldm.data import CrystalDataset, load_dataset
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
    """Finds the nearest crystal of a data set's training set: `NearestInTraining("oqmd_icsd")`.

    The data set is opened at the first call (a few seconds), later calls take a fraction of one.
    """

    def __init__(self, source: str | CrystalDataset) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._reference: Reference | None = None

    def follow(self, ldm: LDMModule) -> None:
        """Look in the data set of another model from now on; in none where that is not named."""
        name = _data_set(ldm)
        with self._lock:
            if name != self._source:
                self._source, self._reference = name, None

    @property
    def cached(self) -> bool:
        """Whether the data set is prepared, so that opening it takes seconds and no network."""
        if not isinstance(self._source, str):
            return True
        return any((cache_path() / "datasets").glob(f"{self._source}-*.safetensors"))

    @property
    def reference(self) -> Reference:
        """The training crystals.

        Raises:
            DataError: the model was not trained on a data set with a name.
        """
        with self._lock:
            if self._source == "":
                raise DataError("The training set of this model is none that can be opened here.")
            if self._reference is None:
                data = self._source
                data = load_dataset(data, progress=False) if isinstance(data, str) else data
                self._reference = Reference(data.batch(data.indices("train")))
            return self._reference

    def find(self, text: str) -> Structure:
        """Return the training crystal with the id `text`, or the first with that reduced formula.

        Raises:
            DataError: there is none, or `text` is neither.
        """
        known = self.reference.crystals
        problem = f"No training crystal has the id or formula '{text}'."
        if len(chemical_system(text)) > 1:
            raise DataError(f"{problem} The tab Find lists what is known of these elements.")
        try:
            crystal = known.crystals[find_crystals(known, text)[0]]
        except DataError:
            crystal = None
        if crystal is None:
            raise DataError(problem)
        return crystal.to_structure()

    def nearest(self, structure: Structure | None) -> Structure | None:
        """Return the nearest training crystal alone."""
        neighbour = self(structure)
        return None if neighbour is None else neighbour.structure

    def __call__(self, structure: Structure | None) -> Neighbour | None:
        """Return the nearest training crystal, and how it resembles `structure`; of None: None."""
        if structure is None:
            return None
        reference = self.reference
        form = comparison_form(Cell.from_structure(structure))
        # One crystal: a worker process would take longer to start than the comparison takes.
        here = HereExecutor()
        (found,) = find_in_reference([form], reference, Thresholds().same_crystal, here)
        crystal = None if found.nearest is None else reference.crystals.crystals[found.nearest]
        if crystal is None or found.nearest is None:
            return None
        name = reference.crystals.ids[found.nearest]
        said = {
            "same crystal": f"the same crystal, RMSE {found.rmse:.3f}",
            "same formula": "another structure of this formula",
        }.get(found.kind, f"closest composition: {crystal.formula}")
        return Neighbour(crystal.to_structure(), f"Training set, {name}: {said}")


def nearest_in_training(ldm: LDMModule) -> NearestInTraining | None:
    """Return a finder in the data set of a model; None where that is not a named one."""
    name = _data_set(ldm)
    return NearestInTraining(name) if name else None


def _data_set(ldm: LDMModule) -> str:
    """Return the name of a model's data set, if a name is enough to open it; else nothing."""
    name = str(ldm.data_info.get("dataset", ""))
    return name if name in DATASETS and name not in CSV_DATASETS else ""


def training_reference(
    ldm: Callable[[], Any], nearest: NearestInTraining | None
) -> Callable[[], Reference | None]:
    """Return what gives the training crystals that novelty is judged by.

    Those of the data set where it is prepared, else those that the model carries; None where it
    carries none.
    """
    carried: dict[int, Reference] = {}

    def reference() -> Reference | None:
        if nearest is not None and nearest.cached:
            return nearest.reference
        known = ldm().training_crystals
        if known.empty:
            return None
        if id(known) not in carried:
            carried.clear()
            carried[id(known)] = Reference(known.crystals)
        return carried[id(known)]

    return reference


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
        self._latest.start(lambda: self._find(structure), self._show)

    def _show(self, neighbour: Neighbour | None) -> None:
        self.viewer.title = neighbour.text if neighbour else "No training crystal is close."
        self.viewer.show(neighbour.structure if neighbour else None)
