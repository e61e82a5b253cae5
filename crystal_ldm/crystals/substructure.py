"""A part of a crystal, found again in another description of the crystal.

A host's kept atoms and a model's estimate of the whole crystal need not have the same origin, order
of atoms or axes. If the estimate is a canonical crystal (`crystals.canonical`), its axes are one of
the reduced settings of the host's lattice; the origin and the order are what brings the kept atoms
nearest to atoms of their elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.canonical import reduced_settings, standard_orientation

_CANDIDATES = 8
"""Settings and origins that are looked at closely; the others are worse by a lower bound."""
_ROUNDS = 3
"""How often origin and order are adapted to each other; more changed none of 200 crystals."""
_LOOSE = 0.2
"""How much metrics of settings may differ where the estimate has a cell of its own."""
_TIE = 1e-3
"""Settings that differ by less than this (Å²) are alike: the first is taken, whatever rounding
errors say."""
_OTHER_ELEMENT = 1e6
"""Squared distance, Å², to an atom of another element."""


@dataclass(frozen=True)
class Fit:
    """How a part of a crystal lies in an estimate of the crystal.

    Attributes:
        change: (3, 3) whole numbers, the estimate's lattice vectors in terms of the host's.
        shift: (3,) origin: x (estimate) = x (host) · change⁻¹ + shift.
        places: (K,) which atoms of the estimate the K atoms of the part are.
        frac_coords: (K, 3) where they belong in the estimate.
        displacement: largest distance, Å, from there to where the estimate has them.
    """

    change: NDArray[Any]
    shift: NDArray[Any]
    places: NDArray[Any]
    frac_coords: NDArray[Any]
    displacement: float

    def to_host(self, frac_coords: NDArray[Any]) -> NDArray[Any]:
        """Return coordinates (n, 3) of the estimate in the host's cell and origin."""
        coords: NDArray[Any] = (frac_coords - self.shift) @ self.change
        return coords


@dataclass(frozen=True)
class Substructure:
    """Some atoms of a crystal.

    Attributes:
        lattice: (3, 3) row vectors, Å.
        frac_coords: (K, 3).
        numbers: (K,) atomic numbers; 0 for an atom of any element.
    """

    lattice: NDArray[Any]
    frac_coords: NDArray[Any]
    numbers: NDArray[Any]

    @cached_property
    def _settings(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Those of the lattice, and those of an estimate with a cell of its own."""
        return reduced_settings(self.lattice), reduced_settings(self.lattice, _LOOSE)

    def lattice_in(self, fit: Fit) -> NDArray[Any]:
        """Return the lattice (3, 3) in a fit's setting, in standard orientation."""
        return standard_orientation(fit.change @ self.lattice)

    def strained(self, fit: Fit, lattice: NDArray[Any]) -> NDArray[Any]:
        """Return an estimate's lattice (3, 3) with the host's choice of lattice vectors, turned so
        that it differs from the host's by a strain and no rotation."""
        vectors = np.linalg.inv(fit.change) @ lattice
        # The deformation F = U·S·Vᵀ is the strain U·S·Uᵀ, then the rotation U·Vᵀ.
        axes, stretch, _ = np.linalg.svd(np.linalg.inv(self.lattice) @ vectors)
        strained: NDArray[Any] = self.lattice @ (axes * stretch) @ axes.T
        return strained

    def strain(self, fit: Fit, lattice: NDArray[Any]) -> float:
        """Return by what part an estimate's lattice is stretched or compressed, at most."""
        return float(self._strains(fit.change[None], lattice)[0])

    def _strains(self, settings: NDArray[Any], lattice: NDArray[Any]) -> NDArray[Any]:
        deformation = np.linalg.inv(settings @ self.lattice) @ lattice
        strains: NDArray[Any] = np.abs(np.linalg.svd(deformation, compute_uv=False) - 1)
        largest: NDArray[Any] = strains.max(axis=1)
        return largest

    def fit(
        self,
        frac_coords: NDArray[Any],
        numbers: NDArray[Any],
        lattice: NDArray[Any] | None = None,
    ) -> Fit:
        """Return how the atoms lie in an estimate of the crystal.

        Setting, origin and order are chosen for the smallest sum of squared displacements.

        Args:
            frac_coords: (n, 3) of the estimate, in a reduced setting.
            numbers: (n,) atomic numbers; of each element at least as many as here.
            lattice: (3, 3), Å, in which distances are measured; None: the host's own.
        """
        from scipy.optimize import linear_sum_assignment

        other = (self.numbers[:, None] != numbers) & (self.numbers[:, None] > 0)
        settings = self._settings[lattice is not None]
        # Metrics of the host's settings agree to 1 %.
        cell = settings[0] @ self.lattice if lattice is None else lattice
        strains = np.zeros(len(settings))
        if lattice is not None:
            scale = (abs(np.linalg.det(cell)) / len(numbers)) ** (2 / 3)
            strains = len(self.numbers) * scale * self._strains(settings, lattice) ** 2
        in_settings = self.frac_coords @ np.linalg.inv(settings)
        # The atom that could be the fewest of the estimate's gives the origins to try.
        anchor = int((~other).sum(axis=1).argmin())
        places = np.flatnonzero(~other[anchor])
        shifts = (frac_coords[places] - in_settings[:, anchor, None]).reshape(-1, 3)
        which = np.repeat(np.arange(len(settings)), len(places))

        def squares(apart: NDArray[Any]) -> NDArray[Any]:
            nearest: NDArray[Any] = (((apart - np.rint(apart)) @ cell) ** 2).sum(axis=-1)
            return nearest

        placed = in_settings[which] + shifts[:, None]
        distances = squares(placed[:, :, None] - frac_coords) + _OTHER_ELEMENT * other
        bounds = distances.min(axis=2).sum(axis=1) + strains[which]
        best: tuple[float, Fit] | None = None
        for i in sorted(np.argsort(_rounded(bounds), kind="stable")[:_CANDIDATES]):
            atoms, shift = placed[i], shifts[i]
            for _ in range(_ROUNDS):
                apart = atoms[:, None] - frac_coords
                order = linear_sum_assignment(squares(apart) + _OTHER_ELEMENT * other)[1]
                apart = atoms - frac_coords[order]
                common = (apart - np.rint(apart)).mean(axis=0)
                atoms, shift = atoms - common, shift - common
            left = squares(atoms - frac_coords[order])
            cost = float(left.sum() + strains[which[i]])
            if best is None or cost < best[0] - _TIE:
                change = settings[which[i]]
                best = cost, Fit(change, shift, order, atoms % 1.0, float(np.sqrt(left.max())))
        assert best is not None
        return best[1]


def _rounded(squares: NDArray[Any]) -> NDArray[Any]:
    rounded: NDArray[Any] = np.rint(squares / _TIE)
    return rounded
