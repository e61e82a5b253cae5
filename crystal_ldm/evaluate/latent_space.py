"""Crystals as points of a VAE's latent space: the mean of their atoms' latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.inputs import CrystalSet, read_with_warnings
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from crystal_ldm.vae_module import VAEModule


_AT_ONCE = 256


def pooled_latents(vae: VAEModule, crystals: Any) -> NDArray[np.float64]:
    """Return the mean over atoms of each crystal's latents, (n, d).

    Args:
        vae: encodes the crystals; generated ones are brought into canonical form first.
        crystals: a `CrystalBatch` in canonical form, or crystals in any form that `evaluate` takes.

    Returns:
        One row for each crystal; nan where it cannot be read, or has elements or a size that the
        VAE does not know.
    """
    if isinstance(crystals, CrystalBatch):
        batch, places, n = crystals, torch.arange(len(crystals)), len(crystals)
    else:
        (source,) = read_with_warnings(crystals)
        batch, places = _canonical(source)
        n = len(source)
    pooled = torch.full((n, vae.latent_dim), torch.nan)
    able = vae.representable(batch).nonzero().flatten()
    with torch.inference_mode():
        for rows in able.split(_AT_ONCE) if len(able) else ():
            part = batch[rows]
            latents = vae.encode(part.to(vae.lattice_mean.device)).float().cpu()
            pooled[places[rows]] = latents.sum(dim=1) / part.num_atoms.unsqueeze(1)
    return pooled.double().numpy()


def _canonical(crystals: CrystalSet) -> tuple[CrystalBatch, torch.Tensor]:
    """Return the crystals that have a canonical form, and where they stood."""
    parts: list[CrystalBatch] = []
    places: list[int] = []
    for position, crystal in enumerate(crystals.crystals):
        if crystal is None:
            continue
        try:
            parts.append(CrystalBatch.from_structures([crystal.to_structure()]))
            places.append(position)
        except DataError:  # flat, or atoms on top of one another
            continue
    if not parts:
        return CrystalBatch.from_cells([]), torch.zeros(0, dtype=torch.long)
    return CrystalBatch.cat(parts), torch.tensor(places)


def principal_plane(
    reference: NDArray[np.float64], *others: NDArray[np.float64]
) -> tuple[list[NDArray[np.float64]], list[float]]:
    """Return points on the plane of the two directions in which the reference spreads most.

    Args:
        reference: (n, d); rows with nan are left out of the directions.
        *others: (m, d) each.

    Returns:
        The points of the reference and of the others, (n, 2) each, and the shares of the
        reference's variance along the two directions.
    """
    finite = reference[np.isfinite(reference).all(axis=1)]
    centre = finite.mean(axis=0) if len(finite) else np.zeros(reference.shape[1])
    variance, directions = np.linalg.eigh((finite - centre).T @ (finite - centre))
    plane = directions[:, [-1, -2]]  # the largest stand last
    shares = variance[[-1, -2]] / max(variance.sum(), 1e-12)
    return [(points - centre) @ plane for points in (reference, *others)], shares.tolist()
