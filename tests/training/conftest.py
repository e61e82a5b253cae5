"""A small data set to train on."""

from __future__ import annotations

import pytest

from crystal_ldm.data import CrystalDataset, load_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> CrystalDataset:
    """144 rock salts (some of them antifluorites, of three atoms) with a made-up gap."""
    from pymatgen.core import Lattice, Structure

    cations = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Sc", "Y", "La"]
    anions = ["H", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"]
    folder = tmp_path_factory.mktemp("rock_salts")
    rows = ["material_id,band_gap"]
    for i, cation in enumerate(cations):
        for j, anion in enumerate(anions):
            lattice = Lattice.cubic(4.5 + 0.1 * i + 0.05 * j)
            sites = [[0.25] * 3, [0, 0, 0]] if j % 4 == 0 else [[0, 0, 0], [0.5] * 3]
            structure = Structure.from_spacegroup("Fm-3m", lattice, [cation, anion], sites)
            structure.to(str(folder / f"{cation}{anion}.cif"))
            rows.append(f"{cation}{anion},{0.3 * j}")
    (folder / "properties.csv").write_text("\n".join(rows))
    return load_dataset(folder, cache_dir=folder / "cache", progress=False, workers=1)
