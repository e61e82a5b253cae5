"""A crystal as what is drawn: atoms with their images, bonds, stubs of bonds that leave, cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.bonds import Bond, site_symbols
from crystal_ldm.crystals.geometry.polyhedra import Polyhedron
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
        images: (n,) True where the atom repeats one that is drawn elsewhere.
        bonds: pairs of indices into the drawn atoms.
        stubs: (m, 3) Å, the middles of bonds that leave the cell and are drawn nowhere in full.
        stub_atoms: (m,) the drawn atom that each stub starts from.
        boxes: list of (8, 3) Å, corners of the unit cell and, if repeated, of the whole block.
        lattice: (3, 3) row vectors of the unit cell, Å.
        polyhedra: number of the drawn atom at the centre, and (T, 3, 3) Å, the triangles around it.
    """

    symbols: list[str]
    positions: np.ndarray
    sites: np.ndarray
    cells: np.ndarray
    images: np.ndarray
    bonds: list[tuple[int, int]]
    stubs: np.ndarray
    stub_atoms: np.ndarray
    boxes: list[np.ndarray]
    lattice: np.ndarray
    elements: list[str] = field(default_factory=list)
    polyhedra: list[tuple[int, np.ndarray]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.symbols)


def build_scene(
    structure: Structure,
    bonds: Sequence[Bond] = (),
    supercell: tuple[int, int, int] = (1, 1, 1),
    boundary_images: bool = True,
    stubs: bool = True,
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

    # Distances between opposite faces, Å: turns the boundary width into a fractional one.
    heights = 1.0 / np.maximum(np.linalg.norm(np.linalg.inv(lattice), axis=0), 1e-9)
    near = np.minimum(BOUNDARY / heights, 0.25) if boundary_images else np.zeros(3)

    keys: dict[tuple[int, ...], int] = {}
    inside: list[bool] = []
    for site, position in enumerate(frac):
        ranges = []
        for axis in range(3):
            cells = list(range(repeats[axis]))
            if position[axis] <= near[axis] and boundary_images:
                cells.append(int(repeats[axis]))
            if position[axis] >= 1 - near[axis] and boundary_images:
                cells.insert(0, -1)
            ranges.append(cells)
        for cell in product(*ranges):
            keys[(site, *cell)] = len(keys)
            inside.append(all(0 <= c < r for c, r in zip(cell, repeats, strict=True)))

    shapes: list[tuple[int, list[tuple[int, ...]], Polyhedron]] = []
    for key, index in list(keys.items()):
        for shape in polyhedra:
            if shape.centre == key[0]:
                corners = [
                    (site, *(c + d for c, d in zip(key[1:], image, strict=True)))
                    for site, image in shape.corners
                ]
                shapes.append((index, corners, shape))
    for corner in dict.fromkeys(corner for _, corners, _ in shapes for corner in corners):
        if corner not in keys:
            keys[corner] = len(keys)
            inside.append(False)

    table = np.array(list(keys), dtype=int).reshape(-1, 4)
    sites = table[:, 0]
    positions = (frac[sites] + table[:, 1:]) @ lattice if len(table) else np.zeros((0, 3))

    pairs: set[tuple[int, int]] = set()
    stub_at: list[np.ndarray] = []
    stub_of: list[int] = []
    for bond in bonds:
        whole, cut = [], []
        for (site, *here), index in keys.items():
            for other, image in _partners(bond, site):
                target = [c + d for c, d in zip(here, image, strict=True)]
                partner = keys.get((other, *target))
                if partner is not None:
                    whole.append((min(index, partner), max(index, partner)))
                elif inside[index]:
                    end = (frac[other] + np.array(target)) @ lattice
                    cut.append(((positions[index] + end) / 2, index))
        pairs.update(whole)
        # A bond that is drawn in full somewhere needs no stub: the picture stays readable.
        if stubs and not whole:
            stub_at += [middle for middle, _ in cut]
            stub_of += [index for _, index in cut]

    boxes = [CELL_CORNERS @ lattice]
    if (repeats > 1).any():
        boxes.append((CELL_CORNERS * repeats) @ lattice)
    return Scene(
        symbols=[symbols[site] for site in sites],
        positions=positions,
        sites=sites,
        cells=table[:, 1:],
        images=~np.array(inside, dtype=bool),
        bonds=sorted(pair for pair in pairs if pair[0] != pair[1]),
        stubs=np.array(stub_at).reshape(-1, 3),
        stub_atoms=np.array(stub_of, dtype=int),
        boxes=boxes,
        lattice=lattice,
        elements=list(dict.fromkeys(symbols)),
        polyhedra=[
            (index, positions[[keys[corner] for corner in corners]][shape.faces])
            for index, corners, shape in shapes
        ],
    )


def _partners(bond: Bond, site: int) -> list[tuple[int, tuple[int, int, int]]]:
    """Return what `site` is bonded to through `bond`, seen from either end."""
    found = []
    if bond.start == site:
        found.append((bond.end, bond.image))
    if bond.end == site:
        a, b, c = bond.image
        found.append((bond.start, (-a, -b, -c)))
    return found


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
