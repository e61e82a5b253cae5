"""Crystals built from prototypes, so that the tests need no data."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystal_ldm.parallel import WorkerPool, Workers

_RADII = {"Li": 0.9, "Na": 1.2, "K": 1.5, "Rb": 1.6, "F": 1.2, "Cl": 1.7, "Br": 1.8, "I": 2.0}


def rocksalt(cation: str, anion: str, scale: float = 1.0) -> Structure:
    a = 2 * (_RADII.get(cation, 1.0) + _RADII.get(anion, 1.3)) * scale
    cell = Lattice.cubic(a)
    return Structure.from_spacegroup("Fm-3m", cell, [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(cation: str, anion: str) -> Structure:
    a = 2.4 * (_RADII.get(cation, 1.0) + _RADII.get(anion, 1.3)) / np.sqrt(3)
    return Structure(Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def zincblende(cation: str, anion: str) -> Structure:
    a = 4 * (_RADII.get(cation, 1.0) + _RADII.get(anion, 1.3)) / np.sqrt(3)
    sites = [[0, 0, 0], [0.25, 0.25, 0.25]]
    return Structure.from_spacegroup("F-43m", Lattice.cubic(a), [cation, anion], sites)


def perovskite(a_site: str = "Sr", b_site: str = "Ti", a: float = 3.905) -> Structure:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(a), [a_site, b_site, "O"], sites)


def rutile() -> Structure:
    cell = Lattice.tetragonal(4.594, 2.959)
    sites = [[0, 0, 0], [0.3053, 0.3053, 0]]
    return Structure.from_spacegroup("P4_2/mnm", cell, ["Ti", "O"], sites)


def anatase() -> Structure:
    cell = Lattice.tetragonal(3.785, 9.514)
    sites = [[0, 0, 0], [0, 0, 0.2081]]
    return Structure.from_spacegroup("I4_1/amd", cell, ["Ti", "O"], sites)


def rattled(structure: Structure, sigma: float, generator: np.random.Generator) -> Structure:
    """Move every atom by Gaussian noise of a standard deviation in Å for each direction."""
    moved = structure.cart_coords + generator.normal(0, sigma, (len(structure), 3))
    return Structure(structure.lattice, structure.species, moved, coords_are_cartesian=True)


@pytest.fixture(scope="session")
def known_crystals() -> list[Structure]:
    """Some 80 different crystals, several of them polymorphs of one formula."""
    crystals = [rutile(), anatase()]
    for cation in ("Li", "Na", "K", "Rb"):
        for anion in ("F", "Cl", "Br", "I"):
            for prototype in (rocksalt, caesium_chloride, zincblende):
                crystals.append(prototype(cation, anion).get_primitive_structure())
    for a_site in ("Ca", "Sr", "Ba"):
        for b_site in ("Ti", "Zr", "Hf", "Sn"):
            crystals.append(perovskite(a_site, b_site))
    for element, a in (("Fe", 2.87), ("W", 3.16), ("Na", 4.29)):
        crystals.append(Structure(Lattice.cubic(a), [element] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]]))
    return crystals


@pytest.fixture(scope="session")
def pool():
    """Two worker processes shared by the tests."""
    with WorkerPool(Workers(2)) as executor:
        yield executor
