"""Reading crystals from files and folders."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crystal_ldm.crystals.inputs.crystal_set import CrystalSet, from_objects
from crystal_ldm.errors import CrystalLDMError, EvaluationError, describe_error

_STRUCTURE_SUFFIXES = (".cif", ".vasp", ".poscar")


def read_path(path: Path) -> CrystalSet:
    """Read a file or a folder (see `read_crystals`).

    Raises:
        EvaluationError: if it does not exist or cannot be read.
    """
    if not path.exists():
        raise EvaluationError(f"There is no file or folder '{path}'.")
    try:
        if path.is_dir():
            return _read_folder(path)
        name = path.name.lower()
        if name.endswith((".json", ".json.gz")):
            return _read_json(path)
        if name.endswith((".csv", ".csv.gz")):
            return _read_csv(path)
        if name.endswith((".extxyz", ".xyz")):
            return _read_extxyz(path)
        return _read_files([path])
    except CrystalLDMError:
        raise
    except Exception as error:
        raise EvaluationError(f"'{path}' cannot be read: {describe_error(error)}") from error


def _read_folder(path: Path) -> CrystalSet:
    """Read a run directory (raw cells before symmetrised ones) or a plain folder of files."""
    if (path / "crystals.extxyz").is_file():
        crystals = _read_extxyz(path / "crystals.extxyz")
    else:
        folder = path / "cif" if (path / "cif").is_dir() else path
        files = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in _STRUCTURE_SUFFIXES or file.name.startswith("POSCAR")
        )
        if not files:
            raise EvaluationError(
                f"'{path}' holds no crystals: neither crystals.extxyz nor CIF or POSCAR files."
            )
        crystals = _read_files(files)
    if (path / "table.csv").is_file():
        _add_table(crystals, path / "table.csv")
    return crystals


def _add_table(crystals: CrystalSet, path: Path) -> None:
    """Take row and number of each crystal from the run's table, by id."""
    import pandas as pd

    table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False)
    if not {"id", "row", "number"} <= set(table.columns):
        return
    known = {str(r["id"]): (int(r["row"]), int(r["number"])) for r in table.to_dict("records")}
    if all(name in known for name in crystals.ids):
        crystals.rows = [known[name][0] for name in crystals.ids]
        crystals.numbers = [known[name][1] for name in crystals.ids]
    else:
        crystals.notes.append(f"'{path.name}' names other ids than the crystals; it was not used.")


def _read_files(files: Sequence[Path]) -> CrystalSet:
    from pymatgen.core import Structure

    structures: list[Any] = []
    reasons: list[str | None] = []
    for file in files:
        try:
            structures.append(Structure.from_file(file))
            reasons.append(None)
        except Exception as error:
            structures.append(None)
            reasons.append(f"the file cannot be read ({describe_error(error)})")
    crystals = from_objects(structures, [file.stem for file in files])
    crystals.errors = [a or b for a, b in zip(reasons, crystals.errors, strict=True)]
    return crystals


def _read_extxyz(path: Path) -> CrystalSet:
    from ase.io import iread

    frames: list[Any] = []
    names: list[str] = []
    for position, atoms in enumerate(iread(path, format="extxyz")):
        frames.append(atoms)
        names.append(str(atoms.info.get("id", position)))
    return from_objects(frames, names)


def _read_json(path: Path) -> CrystalSet:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        content = json.load(stream)
    if isinstance(content, dict) and "lattice" in content:
        content = [content]
    if isinstance(content, dict):
        return from_objects(list(content.values()), list(content))
    if not isinstance(content, list):
        raise EvaluationError(f"'{path}' must hold a list of structures or a mapping from ids.")
    names = [
        str(item.get("id", item.get("material_id", position)))
        if isinstance(item, dict)
        else str(position)
        for position, item in enumerate(content)
    ]
    return from_objects(content, names)


def _read_csv(path: Path) -> CrystalSet:
    import pandas as pd
    from pymatgen.core import Structure

    table: pd.DataFrame = pd.read_csv(path)
    if "cif" not in table.columns:
        raise EvaluationError(f"'{path}' has no column 'cif' with the text of a CIF file.")
    structures: list[Any] = []
    reasons: list[str | None] = []
    for text in table["cif"]:
        try:
            structures.append(Structure.from_str(str(text), fmt="cif"))
            reasons.append(None)
        except Exception as error:
            structures.append(None)
            reasons.append(f"its CIF cannot be read ({describe_error(error)})")
    column = next((name for name in ("material_id", "id") if name in table.columns), None)
    names = [str(x) for x in (table[column] if column else range(len(table)))]
    crystals = from_objects(structures, names)
    crystals.errors = [a or b for a, b in zip(reasons, crystals.errors, strict=True)]
    crystals.labels = {
        str(name): table[name].to_numpy(dtype=np.float64)
        for name in table.select_dtypes("number").columns
    }
    return crystals
