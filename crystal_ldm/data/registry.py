"""`load_dataset` and the data sets that it knows by name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals import canonical, readers
from crystal_ldm.crystals.readers import OpenSource, open_source, open_structures
from crystal_ldm.crystals.readers.content import existing, shortened
from crystal_ldm.crystals.readers.csv_files import split_part, table_files
from crystal_ldm.crystals.readers.labels import Labels
from crystal_ldm.crystals.readers.sources import open_tables
from crystal_ldm.data.build import About, build_dataset
from crystal_ldm.data.cache import cache_path, entry_lock, partial_reading
from crystal_ldm.data.cleaning import Filters
from crystal_ldm.data.dataset import FORMAT, CrystalDataset
from crystal_ldm.data.oqmd import (
    DATABASE_SHA256,
    DESCRIPTION,
    FILTERS,
    LICENCE,
    oqmd_database,
    read_oqmd,
)
from crystal_ldm.errors import DataError, suggest
from crystal_ldm.files import repo_root, resolve_path
from crystal_ldm.parallel import AnyWorkers

if TYPE_CHECKING:
    from pymatgen.core import Structure

PREPARATION = 3
"""Raised when preparation changes, so that older cache files are built again."""


CSV_DATASETS: dict[str, tuple[About, tuple[str, ...]]] = {
    "mp_20": (
        About(
            "mp_20",
            "Materials Project crystals of at most 20 atoms (Xie et al., CDVAE, 2022), all files "
            "of the folder pooled",
            "Materials Project: CC BY 4.0",
            official_splits=False,
        ),
        ("band_gap", "formation_energy_per_atom", "e_above_hull"),
    ),
    "perov_5": (
        About(
            "perov_5",
            "Perovskites of 5 atoms (Castelli et al. 2012)",
            "Computational Materials Repository, see the original publication",
        ),
        ("heat_all", "heat_ref", "dir_gap", "ind_gap"),
    ),
    "carbon_24": (
        About(
            "carbon_24",
            "Carbon at 10 GPa, 6 to 24 atoms, by random search (Pickard 2020)",
            "CC BY 4.0",
        ),
        ("energy_per_atom",),
    ),
}
"""Data sets in the public csv layout, in a folder that the user names, and their labels."""
DATASETS = ("oqmd_icsd", *CSV_DATASETS)
"""Names that `load_dataset` knows."""


def _file_name(opened: OpenSource, about: About, filters: Filters, labels: Labels) -> str:
    """Return the cache file's name; another source, filter or choice of labels has another."""
    # The canonical form is part of the content: its code decides too.
    code = hashlib.sha256(Path(canonical.__file__).read_bytes()).hexdigest()
    chosen = dict(labels) if isinstance(labels, Mapping) else list(labels or ())
    parts = [FORMAT, PREPARATION, code, opened.fingerprint, asdict(filters), asdict(about), chosen]
    key = json.dumps(parts, sort_keys=True)
    return f"{about.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.safetensors"


def load_dataset(
    source: str | Path | Sequence[Structure],
    data_dir: str | Path | None = None,
    *,
    max_atoms: int = 20,
    cache_dir: str | Path | None = None,
    rebuild: bool = False,
    progress: bool = True,
    workers: AnyWorkers = None,
    labels: Sequence[str] | Mapping[str, str] | None = None,
    over: Callable[[], bool] | None = None,
) -> CrystalDataset:
    """Return a data set; the first call prepares it and keeps the result in the cache.

    Args:
        source: `oqmd_icsd` (fetched by itself); `mp_20`, `perov_5` or `carbon_24` (csv files in
            `data_dir`); the path of a folder of CIF or POSCAR files with an optional property
            table, of a csv file with a column `cif`, an extxyz file, an ASE database or a json.gz
            list of structures; or a list of pymatgen structures.
        data_dir: the folder of a named data set, or what a relative path starts from.
        max_atoms: largest number of atoms in the primitive cell.
        cache_dir: folder for this call instead of `cache_path()`.
        rebuild: prepare again even if the cache has it.
        progress: whether to print a progress bar and the summary.
        workers: processes for the preparation (see `open_executor`); None: one for each core.
        labels: columns to use as labels, as a list or a dict column -> label; None: all.
        over: asked again and again during the preparation; once it is true, the call ends with a
            `DataError`, and the next one goes on from there, as after an interrupt.

    Raises:
        DataError: if there is no such data set, nothing in it can be used, it cannot be fetched,
            the cache cannot be written, or the time is over.
    """
    if isinstance(labels, str):
        raise DataError(f"labels must be a list or a dict of columns, for example ['{labels}'].")
    if type(max_atoms) is not int or max_atoms < 1:
        raise DataError(f"max_atoms must be a whole number of at least 1, not {max_atoms!r}.")
    if source == "oqmd_icsd":
        about = About("oqmd_icsd", DESCRIPTION, LICENCE, official_splits=False)
        filters = replace(FILTERS, max_atoms=max_atoms)
        opened = OpenSource(
            source, DATABASE_SHA256, lambda: read_oqmd(oqmd_database(cache_dir, progress))
        )
    else:
        opened, about = _opened(source, data_dir, labels)
        filters = Filters(max_atoms=max_atoms)
    path = cache_path(cache_dir) / "datasets" / _file_name(opened, about, filters, labels)
    dataset = None if rebuild else _open(path)
    if dataset is None:
        with entry_lock(path, progress):
            # Another process may have built it while this one waited.
            dataset = None if rebuild else _open(path, tell=True)
            if dataset is None:
                with partial_reading(path, over) as reading:
                    reading.workers, reading.progress = workers, progress
                    build_dataset(opened.read(), about, filters, reading).write(path)
                dataset = CrystalDataset.open(path)
    if progress:
        print(dataset.summary, flush=True)
    return dataset


def _open(path: Path, tell: bool = False) -> CrystalDataset | None:
    if not os.path.exists(path):  # or a name without end: writing says so
        return None
    try:
        return CrystalDataset.open(path)
    except DataError as error:
        if tell:
            print(f"{error} It is built again.", flush=True)
        return None


def _opened(source: Any, data_dir: str | Path | None, labels: Labels) -> tuple[OpenSource, About]:
    about = None
    if isinstance(source, str) and source in CSV_DATASETS:
        about, columns = CSV_DATASETS[source]
        folder = _named_folder(source, data_dir)
        tables = [t for t in table_files(folder) if split_part(t) or not about.official_splits]
        if not tables:
            raise DataError(f"The folder {folder} holds no train, val or test.csv(.gz).")
        opened = open_tables(folder, tables, labels, columns)
    elif isinstance(source, (str, Path)):
        opened = open_source(_own_path(source, data_dir), labels)
    elif isinstance(source, Iterable):
        opened = open_structures(source, labels)
    else:
        raise DataError(f"A data set is a name, a path or a list of structures, not {source!r}.")
    # Better code reads again.
    opened = replace(opened, fingerprint=opened.fingerprint + _reader_digest())
    return opened, about or About(opened.name)


def find_source(source: str, data_dir: str = "") -> tuple[str, Path | None]:
    """Return `source` and `data_dir` of `load_dataset` for what a notebook or a shell was given.

    Relative paths are looked for as `resolve_path` has it. Nothing is read.

    Raises:
        DataError: there is no such data set, file or folder.
    """
    folder = resolve_path(data_dir) if data_dir else None
    if source in CSV_DATASETS:
        _named_folder(source, folder)
    elif source not in DATASETS and folder is None:
        found = resolve_path(source)
        source, folder = (str(found), None) if os.path.exists(found) else (source, repo_root())
    if source not in DATASETS:
        _own_path(source, folder)
    return source, folder


def _own_path(source: str | Path, data_dir: str | Path | None) -> Path:
    path = Path(source) if data_dir is None else Path(data_dir) / source
    try:
        return existing(path)
    except DataError as error:
        if not str(error).startswith("There is no"):
            raise
        where = "" if data_dir is None else f" in {data_dir}"
        raise DataError(
            f"There is no data set and no file or folder '{shortened(source)}'{where}."
            f"{suggest(str(source), DATASETS)} Known names: {', '.join(DATASETS)}; else give the "
            "path of your data."
        ) from None


@lru_cache(maxsize=1)
def _reader_digest() -> str:
    """Return a hash of the code that reads files."""
    digest = hashlib.sha256()
    for file in sorted(Path(readers.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _named_folder(name: str, data_dir: str | Path | None) -> Path:
    if data_dir is None:
        raise DataError(
            f"{name} is read from a folder: give data_dir, the folder with its csv or csv.gz files "
            "(train, val, test)."
        )
    folder = existing(data_dir)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; data_dir must hold the csv files of {name}.")
    # The folder that holds one folder for each data set will do as well.
    return folder / name if (folder / name).is_dir() else folder
