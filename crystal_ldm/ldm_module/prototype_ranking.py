"""Which of a formula's prototypes is likeliest to be right, by a network that learnt it.

It saw, for each formula of the training sets of `oqmd_icsd` and `mp_20`, its nearest prototypes in
other formulas' crystals and which of them match a known crystal of it
(`python -m benchmarks.prototype_ranking`). That such a choice can be learnt from pairs of known
compounds: Kusaba et al., Comput. Mater. Sci. 211, 111496 (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_ldm.crystals.geometry.neighbours import NEIGHBOURS, RADIUS_A, nearest_neighbours
from crystal_ldm.crystals.prototype_search import REMEMBERED, Prototype, PrototypeSearch
from crystal_ldm.errors import CheckpointError
from crystal_ldm.nn.crystal_graph import (
    DROPOUT,
    NUM_PROPERTIES,
    CrystalGraph,
    GraphBatch,
    Messages,
    bond_features,
    element_properties,
    join,
    mean_and_largest,
)

WEIGHTS = Path(__file__).with_name("prototype_ranking.safetensors")
RANKED = 24
"""How many of the nearest prototypes are ranked; those after them follow as they are."""
_CLUES = 5
_EMBEDDED = 16
_WIDTH = 64
_LAYERS = 3


class RankingNet(nn.Module):
    """Scores prototypes from their crystals, with the formula's elements and with their own."""

    elements: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(119, _EMBEDDED)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.element_dropout = nn.Dropout(3 * DROPOUT)
        self.atoms = nn.Linear(2 * _EMBEDDED + 2 * NUM_PROPERTIES, _WIDTH)
        self.layers = nn.ModuleList(Messages(_WIDTH) for _ in range(_LAYERS))
        self.norm = nn.LayerNorm(_WIDTH)
        self.out = nn.Sequential(
            nn.Linear(2 * _WIDTH + 2 + _CLUES, _WIDTH),
            nn.SiLU(),
            nn.Dropout(4 * DROPOUT),
            nn.Linear(_WIDTH, 1),
        )
        self.direct = nn.Linear(_CLUES, 1, bias=False)
        # Before it has learnt anything the nearest is the likeliest.
        for parameter in (*self.out[3].parameters(), self.direct.weight):
            nn.init.zeros_(parameter)
        self.direct.weight.data[0, 0] = -3.0
        # Stored with the weights: another version of pymatgen may know other values.
        self.register_buffer("elements", torch.from_numpy(element_properties()))

    def forward(self, batch: GraphBatch, replaced: Tensor, clues: Tensor) -> Tensor:
        """Return scores (B,), the logarithms of what each one's probability is in proportion to.

        Args:
            batch: graphs of the B prototypes of a formula, with its elements.
            replaced: (N,) the atomic numbers that the prototypes' crystals have.
            clues: (B, 5), see `clues_of`.
        """
        new, old = self.elements[batch.numbers], self.elements[replaced]
        embedded = [self.element_dropout(self.embedding(z)) for z in (batch.numbers, replaced)]
        atoms = self.atoms(torch.cat([*embedded, new, new - old], dim=-1))
        bonds, weights = bond_features(batch, self.elements[:, 0])
        for layer in self.layers:
            atoms = layer(atoms, batch.neighbours, bonds, weights)
        mean, largest = mean_and_largest(batch, self.norm(atoms))
        sizes = torch.bincount(batch.crystal, minlength=len(clues))[:, None].log()
        volumes = batch.volumes.log()[:, None] - 3  # 20 Å³ is usual
        out = self.out(torch.cat([mean, largest, volumes, sizes, clues], dim=-1))
        scores: Tensor = (out + self.direct(clues))[:, 0]
        return scores


Inputs = tuple[list[CrystalGraph], NDArray[np.int64], NDArray[np.float32]]
"""Of a formula's prototypes: graphs, elements that were replaced (all atoms), clues."""


class PrototypeRanking:
    """Puts prototypes in the order in which they are likely to be right.

    Args:
        search: finds the nearest ones.
        space_group: returns the group of one of the search's crystals, None where it has none.
    """

    def __init__(self, search: PrototypeSearch, space_group: Callable[[int], int | None]) -> None:
        self._search = search
        self._space_group = space_group
        self._order: dict[bytes, list[int]] = {}
        self._graphs: dict[int, CrystalGraph] = {}

    def likeliest(self, numbers: NDArray[np.int64], count: int) -> list[Prototype]:
        """Return at most `count` prototypes of a formula, the likeliest first.

        The likeliest of each space group come first, in the order of how likely their groups are,
        then the second of each.

        Args:
            numbers: (n,) atomic numbers of all atoms of the cell.
            count: how many.

        Raises:
            CheckpointError: if the networks' weights are missing or broken.
        """
        nearest = self._search.nearest(numbers, max(count, RANKED))
        some, rest = nearest[:RANKED], nearest[RANKED:]
        key = np.sort(numbers).tobytes()
        if key not in self._order:
            if len(self._order) >= REMEMBERED:
                self._order.clear()
            self._order[key] = self._ranks(some)
        return [*(some[i] for i in self._order[key]), *rest][:count]

    def _ranks(self, prototypes: Sequence[Prototype]) -> list[int]:
        if len(prototypes) < 2:
            return list(range(len(prototypes)))
        probability = probabilities(self.inputs(prototypes))
        groups = self._groups(prototypes)
        likely = {group: float(probability[groups == group].sum()) for group in set(groups)}
        had: dict[int, int] = {}
        places = []
        for i in np.argsort(-probability, kind="stable"):
            group = groups[i]
            places.append((had.get(group, 0), -likely[group], int(i)))
            had[group] = had.get(group, 0) + 1
        return [place[-1] for place in sorted(places)]

    def inputs(self, prototypes: Sequence[Prototype]) -> Inputs:
        """Return what the networks look at."""
        graphs, replaced = [], []
        for prototype in prototypes:
            old, new, scale = self._search.exchanged(prototype)
            graph = self._graph_of(prototype.row)
            scaled = (graph.distances * scale).astype(np.float32)
            graphs.append(CrystalGraph(new, graph.neighbours, scaled, graph.volume * scale**3))
            replaced.append(old)
        clues = clues_of(np.array([p.distance for p in prototypes]), self._groups(prototypes))
        return graphs, np.concatenate(replaced), clues

    def _groups(self, prototypes: Sequence[Prototype]) -> NDArray[np.int64]:
        return np.array([self._space_group(prototype.row) or 0 for prototype in prototypes])

    def _graph_of(self, row: int) -> CrystalGraph:
        """Return the graph of one of the search's crystals, with its own elements."""
        if row not in self._graphs:
            (cell,) = self._search.crystals[torch.tensor([row])].to_cells()
            try:
                neighbours, distances = nearest_neighbours(cell)
            except ValueError:  # too crowded to have any: as if all were too far
                shape = (len(cell), NEIGHBOURS)
                neighbours, distances = np.zeros(shape, np.int64), np.full(shape, RADIUS_A + 1)
            self._graphs[row] = CrystalGraph(
                cell.numbers, neighbours, distances.astype(np.float32), cell.volume / len(cell)
            )
        return self._graphs[row]


def clues_of(distances: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what is known of a formula's prototypes without their crystals, (B, 5).

    How much farther than the nearest each one is, its distance, its rank, the share of its space
    group among all by exp(−2 (distance − nearest) / nearest), and whether it is its group's first.

    Args:
        distances: (B,) in ascending order, see `Prototype.distance`.
        groups: (B,) space groups, 0 where unknown.
    """
    nearest = max(distances[0], 1e-3)
    weights = np.exp(-2 * (distances - distances[0]) / nearest)
    same = groups[:, None] == groups[None]
    first = [group not in groups[:i] for i, group in enumerate(groups)]
    columns = [
        (distances / nearest).clip(max=6) - 1,
        2 * distances,
        np.log(np.arange(len(distances)) + 1),
        (same * weights).sum(axis=1) / weights.sum(),
        np.array(first, dtype=np.float64),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def probabilities(inputs: Inputs) -> NDArray[np.float64]:
    """Return how likely each of a formula's prototypes is to be right, (B,), in sum 1: the mean
    over the networks.

    Raises:
        CheckpointError: if the networks' weights are missing or broken.
    """
    graphs, replaced, clues = inputs
    batch = join(graphs)
    others = torch.from_numpy(replaced).long(), torch.from_numpy(clues)
    with torch.inference_mode():
        shares = torch.stack([net(batch, *others).double().softmax(0) for net in _networks()])
    mean: NDArray[np.float64] = shares.mean(dim=0).numpy()
    return mean


@cache
def _networks() -> list[RankingNet]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    networks = []
    try:
        weights = load_file(WEIGHTS)
        for member in sorted({name.partition(".")[0] for name in weights}):
            network = RankingNet()
            start = f"{member}."
            own = {n.removeprefix(start): w for n, w in weights.items() if n.startswith(start)}
            network.load_state_dict({name: weight.float() for name, weight in own.items()})
            networks.append(network.eval())
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"The weights that rank prototypes ('{WEIGHTS.name}') are missing or broken: install "
            "crystal-ldm again, or take Prototype(order='nearest')."
        ) from error
    return networks
