"""`SampleRun`: the one class that knows what a run directory of crystals holds.

| name | holds |
|---|---|
| `cif/` | a symmetrised CIF for each crystal, with what makes it again |
| `cif_p1/` | the raw cells as CIFs, if asked for |
| `crystals.extxyz` | the raw cells |
| `table.csv` | a line for each crystal that is wholly on disk |
| `recipe.json` | what makes all of them again |
| `run.json`, `status.json` | what identifies the run, and how far it is |
| `workbench/` | what was asked for in a workbench afterwards, see `requests` |
| `04_sample.ipynb`, `.html` | the notebook that made them, if one did |
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError

from crystal_ldm.config.numbers import Number, short
from crystal_ldm.errors import DataError, RequestError, RunError
from crystal_ldm.files import Run, open_run
from crystal_ldm.files.run_directory import RAW_CELLS, RECIPE, TABLE
from crystal_ldm.files.writing import atomic_write_json
from crystal_ldm.recipe import read_recipe
from crystal_ldm.runs.crystal_files import CrystalFiles
from crystal_ldm.runs.table import table_lines

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystal_ldm.sampling.denoising import Order

NOTEBOOK = "04_sample"
_TOLERANCE: TypeAdapter[float] = TypeAdapter(Annotated[Number, Field(gt=0, le=10)])


class SampleRun:
    """A run directory, locked while crystals are added; use as a context manager.

    Attributes:
        path: the directory.
        order: the request that is carried out there, checked.
        files: the crystals.
    """

    def __init__(self, run: Run, order: Order, files: CrystalFiles) -> None:
        self.path = run.path
        self.order = order
        self.files = files
        self._run = run

    @classmethod
    def open(
        cls, run_dir: Path | str, order: Order, *, symprec: float = 0.1, p1_cif: bool = False
    ) -> Self:
        """Make or continue a run, and lock it.

        Args:
            run_dir: the directory, relative to the repository's root; empty: a new one in `runs/`.
            order: what to make, see `crystal_ldm.sampling.sample.place_order`.
            symprec: tolerance of the symmetry search for the CIFs, Å.
            p1_cif: whether to write the raw cells as CIFs without symmetry, too.

        Raises:
            RequestError: for a tolerance that is none.
            RunError: the directory holds another request, the crystals of another model or other
                files, is in use, or cannot be written.
        """
        symprec, p1_cif = _tolerance(symprec), bool(p1_cif)
        run = open_run(run_dir, NOTEBOOK, identity(order, symprec, p1_cif), alone=True)
        try:
            _check_recipe(run.path, order.recipe)
            return cls(run, order, CrystalFiles(run.path, order.recipe, symprec, p1_cif))
        except BaseException as error:
            run.fail(error)
            raise

    @property
    def rows(self) -> list[dict[str, str]]:
        """The table, read from the disk: a dict of text a crystal."""
        return self.files.rows

    @property
    def total(self) -> int:
        """How many crystals the request asks for."""
        plan = self.order.plan
        return (1 if plan.request is None else len(plan.request)) * plan.num_samples

    def missing(self, row: int, number: int) -> bool:
        """Return whether a crystal is not on disk yet."""
        return (row, number) not in self.files.done

    def progress(self, message: str = "") -> None:
        """Record how far the run is."""
        self._run.progress(len(self.files.done), self.total, message)

    def close(self, error: BaseException | None = None) -> None:
        """Record the end (or why it came early), and let others in; what was written stays."""
        if error is None:
            self.files.flush()
            self._run.finish(f"{len(self.files.done)} crystals")
        else:
            self._run.fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close(error)


def _tolerance(symprec: Any) -> float:
    try:
        return _TOLERANCE.validate_python(symprec)
    except ValidationError:
        raise RequestError(
            f"symprec must be a number above 0 and at most 10 Å, not {short(symprec)}."
        ) from None


def identity(order: Order, symprec: float, p1_cif: bool) -> dict[str, Any]:
    """Return what tells one run from another: all that its crystals and files depend on.

    The same for notebook, command line and split requests. What only changes how fast or where
    crystals are made, and the name of the preset that its settings came from, does not belong here.
    """
    recipe = order.recipe
    sampling = {k: v for k, v in recipe["sampling"].items() if k not in ("preset", "trajectory")}
    compute = {k: v for k, v in sampling["compute"].items() if k not in ("batch_size", "device")}
    sampling["compute"] = {**compute, "precision": order.precision}
    kept = ("model_hash", "known_hash", "request", "first_row")
    return {
        **{name: recipe[name] for name in kept if name in recipe},
        "sampling": sampling,
        "symprec": symprec,
        "p1_cif": p1_cif,
    }


def read_run_recipe(run_dir: Path | str) -> dict[str, Any]:
    """Return the recipe of a run directory.

    Raises:
        DataError: it is missing or damaged.
    """
    return read_recipe(Path(run_dir) / RECIPE)


def read_crystals_of(run_dir: Path | str) -> Iterator[tuple[dict[str, str], Structure]]:
    """Yield line of the table and raw cell of each crystal of a run; none where there are none."""
    from ase.io import iread
    from pymatgen.io.ase import AseAtomsAdaptor

    folder = Path(run_dir)
    if not all((folder / name).is_file() for name in (RAW_CELLS, TABLE)):
        return
    lines = {line["id"]: line for line, *_ in table_lines(folder / TABLE)}
    for atoms in iread(folder / RAW_CELLS, index=":"):
        line = lines.get(str(atoms.info.get("id")))
        if line is not None:
            structure = AseAtomsAdaptor.get_structure(atoms)
            structure.properties.clear()
            yield line, structure


def _check_recipe(path: Path, recipe: Mapping[str, Any]) -> None:
    """Write the recipe of a new run; of one that is there, see that it is this one."""
    file = path / RECIPE
    has_crystals = (path / TABLE).is_file()
    try:
        before = read_recipe(file)
    except DataError as error:
        if has_crystals:
            reason = "is damaged" if file.exists() else "is missing"
            warnings.warn(
                f"'{file}' {reason}; it is written again for this request. ({error})", stacklevel=3
            )
        atomic_write_json(file, recipe)
        return
    compared = {*before, *recipe} - {"versions", "model", "sampling"}
    if any(before.get(key) != recipe.get(key) for key in compared):
        raise RunError(
            f"'{file}' is not the recipe of this run's crystals: it was changed. Remove it to have "
            "it written again, or name another run_dir."
        )
