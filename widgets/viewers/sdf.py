"""A scene as an SDF (MDL V2000) file: the one format in which NGL keeps the bonds it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from crystal_ldm.widgets.viewers.scene import CELL_EDGES, LIMIT, Scene, SceneTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable


def scene_to_sdf(scene: Scene) -> str:
    """Return `scene`: its atoms, then stub ends, cell corners and axis tips as dummy atoms Xx.

    Raises:
        SceneTooLarge: more than 999 atoms or bonds.
    """
    positions = [scene.positions, scene.stubs, *scene.boxes, axis_tips(scene)]
    symbols = [*scene.symbols, *["Xx"] * (len(scene.stubs) + 8 * len(scene.boxes) + 3)]
    bonds = [*scene.bonds]
    first_stub = len(scene)
    bonds += [(int(atom), first_stub + k) for k, atom in enumerate(scene.stub_atoms)]
    first_corner = first_stub + len(scene.stubs)
    for k in range(len(scene.boxes)):
        bonds += [(first_corner + 8 * k + i, first_corner + 8 * k + j) for i, j in CELL_EDGES]
    points = np.concatenate([np.asarray(p).reshape(-1, 3) for p in positions])
    if len(points) > LIMIT or len(bonds) > LIMIT:
        raise SceneTooLarge(
            f"{len(scene)} atoms with {len(scene.bonds)} bonds are more than the viewer can draw. "
            "Choose a smaller supercell, or press Bonds to leave them out."
        )
    return "\n".join(_lines(points, symbols, bonds))


def axis_tips(scene: Scene) -> np.ndarray:
    """Return where the names of a, b and c are written: (3, 3) Å, clear of the corner atoms."""
    lengths = np.linalg.norm(scene.lattice, axis=1, keepdims=True)
    return scene.lattice * (1 + 0.9 / np.maximum(lengths, 1e-9))


def _lines(points: np.ndarray, symbols: list[str], bonds: list[tuple[int, int]]) -> Iterable[str]:
    yield from ("crystal", "  Crystal LDM", "")
    yield f"{len(points):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000"
    for (x, y, z), symbol in zip(points, symbols, strict=True):
        yield f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:<3s} 0  0  0  0  0  0  0  0  0  0  0  0"
    for i, j in bonds:
        yield f"{i + 1:3d}{j + 1:3d}  1  0  0  0  0"
    yield from ("M  END", "$$$$", "")
