"""Lattices as six numbers that always give a closed cell.

A lattice L (row vectors, Å) is, up to a rotation, the exponential of a symmetric matrix,
S = ½ log(L Lᵀ) (Jiao et al., Space Group Constrained Crystal Generation, ICLR 2024, eq. 4). Any six
real numbers are a cell with a positive volume exp(tr S); errors in S are relative strains.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROWS = (0, 1, 2, 1, 0, 0)
_COLUMNS = (0, 1, 2, 2, 2, 1)
MAX_LOG_LENGTH = math.log(200.0)
"""Eigenvalues of S are kept within ±log(200 Å), so that any output is a finite cell."""


def lattice_to_log(lattices: Tensor) -> Tensor:
    """Return S (..., 6), Voigt order (xx, yy, zz, yz, xz, xy), of lattices (..., 3, 3) in Å."""
    cells = _double(lattices)
    metric = cells @ cells.transpose(-1, -2)
    values, vectors = torch.linalg.eigh(metric)
    log = (vectors * (0.5 * values.clamp_min(1e-12).log()).unsqueeze(-2)) @ vectors.transpose(
        -1, -2
    )
    components: Tensor = log[..., _ROWS, _COLUMNS].to(lattices)
    return components


def log_to_lattice(voigt: Tensor) -> Tensor:
    """Return symmetric lattices (..., 3, 3) in Å for S given as (..., 6); inverse of the above."""
    entries = _double(voigt)
    matrix = entries.new_zeros(*voigt.shape[:-1], 3, 3)
    matrix[..., _ROWS, _COLUMNS] = entries
    matrix[..., _COLUMNS, _ROWS] = entries
    values, vectors = torch.linalg.eigh(torch.nan_to_num(matrix))
    lengths = values.clamp(-MAX_LOG_LENGTH, MAX_LOG_LENGTH).exp()
    cells: Tensor = ((vectors * lengths.unsqueeze(-2)) @ vectors.transpose(-1, -2)).to(voigt)
    return cells


def _double(values: Tensor) -> Tensor:
    """Return values in float64, on the CPU where their device (MPS) has no such numbers."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def scale_by_atoms(voigt: Tensor, num_atoms: Tensor, sign: int = -1) -> Tensor:
    """Add (sign = 1) or remove (sign = -1) ⅓ log n on the diagonal of S (..., 6).

    Lengths grow with the cube root of the number of atoms n (...,); without that trend S depends on
    the chemistry and the shape of the cell alone.
    """
    shift = sign * num_atoms.to(voigt.dtype).log() / 3
    return torch.cat([voigt[..., :3] + shift.unsqueeze(-1), voigt[..., 3:]], dim=-1)
