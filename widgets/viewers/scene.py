"""A crystal as what is drawn: atoms with their images, bonds, stubs of bonds that leave, cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.bonds import Bond, site_symbols
from crystal_ldm.crystals.geometry.polyhedra import Polyhedron, neighbours
from crystal_ldm.errors import CrystalLDMError

BOUNDARY = 0.2
"""Å; an atom this close to a face of the cell is drawn at the opposite face as well."""

LIMIT = 999
"""Atoms, and bonds, that the browser is sent: the three-digit counts of an SDF can hold no more."""


class SceneTooLarge(CrystalLDMError):
    """The scene has more atoms or bonds than the viewer can hold."""


CELL_CORNERS = np.array(list(product((0, 1), repeat=3)), dtype=float)
CELL_EDGES = tuple(
    (i, j)
    for i in range(8)
    for j in range(i + 1, 8)
    if int(np.abs(CELL_CORNERS[i] - CELL_CORNERS[j]).sum()) == 1
)


@dataclass(frozen=True)
class Scene:
    """What a viewer draws of one crystal.

    Attributes:
        symbols: element of each drawn atom, n in all.
        positions: (n, 3) Å.
        sites: (n,) index of each drawn atom's site in the structure.
        cells: (n, 3) the cell in which each drawn atom lies.
        bonds: pairs of indices into the drawn atoms.
        stubs: (m, 3) Å, the middles of bonds that leave the cell and are drawn nowhere in full.
        stub_atoms: (m,) the drawn atom that each stub starts from.
        boxes: list of (8, 3) Å, corners of the unit cell and, if repeated, of the whole block.
        lattice: (3, 3) row vectors of the unit cell, Å.
        elements: the elements of the crystal, each once.
        polyhedra: number of the drawn atom at the centre, and (T, 3, 3) Å, the triangles around it.
    """

    symbols: list[str]
    positions: np.ndarray
    sites: np.ndarray
    cells: np.ndarray
    bonds: list[tuple[int, int]]
    stubs: np.ndarray
    stub_atoms: np.ndarray
    boxes: list[np.ndarray]
    lattice: np.ndarray
    elements: list[str]
    polyhedra: list[tuple[int, np.ndarray]]

    def __len__(self) -> int:
        return len(self.symbols)

    def polyhedra_by_element(self) -> dict[str, np.ndarray]:
        """Return the triangles, (T, 3, 3) Å, by the element at the centre."""
        parts: dict[str, list[np.ndarray]] = {}
        for centre, triangles in self.polyhedra:
            parts.setdefault(self.symbols[centre], []).append(triangles)
        return {symbol: np.concatenate(some) for symbol, some in parts.items()}


def build_scene(
    structure: Structure,
    bonds: Sequence[Bond] = (),
    supercell: tuple[int, int, int] = (1, 1, 1),
    boundary_images: bool = True,
    polyhedra: Sequence[Polyhedron] = (),
) -> Scene:
    """Lay out `structure` repeated `supercell` times, with `bonds` given for one cell.

    Polyhedra are drawn around each drawn centre; corners of theirs that lie outside are drawn too.

    Raises:
        SceneTooLarge: the block has more than 999 atoms.
    """
    count = len(structure) * int(np.prod(supercell))
    if count > LIMIT:
        raise SceneTooLarge(
            f"{' × '.join(map(str, supercell))} cells hold {count:,} atoms, more than the {LIMIT} "
            "that the viewer can draw. Choose a smaller supercell."
        )
    lattice = np.asarray(structure.lattice.matrix, dtype=float)
    symbols = site_symbols(structure)
    frac = np.asarray(structure.frac_coords, dtype=float).reshape(-1, 3)
    frac = frac - np.floor(frac)
    repeats = np.array(supercell, dtype=int)

    # The boundary's width in fractions: the inverse's columns are as long as 1 / distance of faces.
    near = np.minimum(BOUNDARY * np.linalg.norm(np.linalg.inv(lattice), axis=0), 0.25)
    near = near if boundary_images else np.full(3, -1.0)
    keys: dict[tuple[int, ...], int] = {}
    for site, position in enumerate(frac):
        below, above = position >= 1 - near, position <= near
        for place in product(*map(range, -below.astype(int), repeats + above)):
            keys[(site, *place)] = len(keys)

    shapes: list[tuple[int, list[int], Polyhedron]] = []
    drawn = list(keys.items())
    for shape in polyhedra:
        for (_, *cell), index in (one for one in drawn if one[0][0] == shape.centre):
            corners = [
                keys.setdefault((site, *np.add(cell, image).tolist()), len(keys))
                for site, image in shape.corners
            ]
            shapes.append((index, corners, shape))

    table = np.array(list(keys), dtype=int).reshape(-1, 4)
    sites, cells = table[:, 0], table[:, 1:]
    inside = np.asarray(((cells >= 0) & (cells < repeats)).all(axis=1))
    positions = (frac[sites] + cells) @ lattice

    pairs: set[tuple[int, int]] = set()
    stub_at: list[np.ndarray] = []
    stub_of: list[int] = []
    for bond in bonds:
        whole, cut = [], []
        for (site, *here), index in keys.items():
            for other, image in neighbours([bond], site):
                target = np.add(here, image)
                partner = keys.get((other, *target.tolist()))
                if partner is not None:
                    whole.append((min(index, partner), max(index, partner)))
                elif inside[index]:
                    end = (frac[other] + target) @ lattice
                    cut.append(((positions[index] + end) / 2, index))
        pairs.update(whole)
        # A bond that is drawn in full somewhere needs no stub: the picture stays readable.
        if not whole:
            stub_at += [middle for middle, _ in cut]
            stub_of += [index for _, index in cut]

    boxes = [CELL_CORNERS @ lattice]
    if (repeats > 1).any():
        boxes.append((CELL_CORNERS * repeats) @ lattice)
    return Scene(
        symbols=[symbols[site] for site in sites],
        positions=positions,
        sites=sites,
        cells=cells,
        bonds=sorted(pair for pair in pairs if pair[0] != pair[1]),
        stubs=np.array(stub_at).reshape(-1, 3),
        stub_atoms=np.array(stub_of, dtype=int),
        boxes=boxes,
        lattice=lattice,
        elements=list(dict.fromkeys(symbols)),
        polyhedra=[(index, positions[corners][shape.faces]) for index, corners, shape in shapes],
    )


def common_extent(scenes: Sequence[Scene], fair: float) -> np.ndarray:
    """Return the lowest and the highest corner, in Å, of what is shown of a trajectory.

    They lie about the last one's centre, with room for the others up to `fair` times its size: the
    first frames of a denoising can be absurdly large, and would make a dot of the crystal.
    """
    drawn = [np.concatenate([scene.positions, *scene.boxes]) for scene in scenes]
    corners = np.array([(points.min(axis=0), points.max(axis=0)) for points in drawn])  # (S, 2, 3)
    centre = corners[-1].mean(axis=0)
    half = np.ptp(corners[-1], axis=0) / 2
    half = np.clip(np.abs(corners - centre).max(axis=(0, 1)), half, fair * half)
    return np.array([centre - half, centre + half])


def scene_to_sdf(scene: Scene) -> str:
    """Return `scene` as an SDF (MDL V2000) file, the one format in which NGL keeps given bonds.

    It has the atoms, then stub ends, cell corners and axis tips as dummy atoms Xx.

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
    return scene.lattice * (1 + max(0.9, 0.05 * lengths.max()) / np.maximum(lengths, 1e-9))


def _lines(points: np.ndarray, symbols: list[str], bonds: list[tuple[int, int]]) -> Iterator[str]:
    yield from ("crystal", "  Crystal LDM", "")
    yield f"{len(points):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000"
    for (x, y, z), symbol in zip(points, symbols, strict=True):
        yield f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:<3s} 0  0  0  0  0  0  0  0  0  0  0  0"
    for i, j in bonds:
        yield f"{i + 1:3d}{j + 1:3d}  1  0  0  0  0"
    yield from ("M  END", "$$$$", "")
