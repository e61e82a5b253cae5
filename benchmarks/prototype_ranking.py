"""Training of the ranking of prototypes: `python -m benchmarks.prototype_ranking`.

Some 35 minutes of one core for the comparisons of the 22,802 formulas' 12 nearest prototypes with
their known crystals, and as long for each of three networks. The crystals are those of the shipped
`mp_20`, which was trained on both data sets: none of their validation and test sets is among them.
What the ranking does is measured by `python -m benchmarks.quality prediction --preset predict`.
"""

from __future__ import annotations

import argparse
import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.band_gap_predictors import follow
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.prototype_search import Prototype
from crystal_ldm.crystals.same_crystal import rms_distance
from crystal_ldm.evaluate.matching import PREDICTION
from crystal_ldm.ldm_module.prototype_ranking import WEIGHTS, PrototypeRanking, RankingNet
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.nn.crystal_graph import GraphBatch, join
from crystal_ldm.parallel import open_executor
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.random import crystal_generator

PROTOTYPES = 12
"""How many of the nearest prototypes of a formula are compared."""
_KEPT = (1.0, 0.75, 0.5)
"""Shares of a formula's prototypes that a step sees, one of them at random: so a network does not
learn the lists by heart."""
_STRAIN = 0.02
_AVERAGED_STEPS = 300


@dataclass(frozen=True)
class Formula:
    """A training formula.

    Attributes:
        prototypes: its nearest ones, the nearest first.
        right: (n,) bool, which of them match one of its known crystals.
    """

    prototypes: list[Prototype]
    right: NDArray[np.bool_]


def formulas_of(known: TrainingCrystals, most: int | None, workers: int | None) -> list[Formula]:
    """Return training formulas, at most `most` in random order, that some of their prototypes are
    right for and others not: nothing is to be learnt from the others."""
    rows: dict[tuple[int, ...], list[int]] = defaultdict(list)
    crystals = known.crystals
    for row, size in enumerate(crystals.num_atoms.tolist()):
        rows[tuple(sorted(crystals.atomic_numbers[row, :size].tolist()))].append(row)
    keys = sorted(rows)
    chosen = [keys[i] for i in crystal_generator(0, 3).permutation(len(keys))[:most]]
    lists = [known.search.nearest(np.array(key), PROTOTYPES) for key in chosen]
    right = [np.zeros(len(prototypes), dtype=bool) for prototypes in lists]
    places: list[tuple[int, int]] = []

    def pairs() -> Iterator[tuple[Cell, Cell]]:
        for i, (key, prototypes) in enumerate(zip(chosen, lists, strict=True)):
            cells = crystals[torch.tensor(rows[key])].to_cells()
            for j, prototype in enumerate(prototypes):
                for cell in cells:
                    places.append((i, j))
                    yield known.search.cell(prototype), cell

    compare = partial(rms_distance, tolerances=PREDICTION)
    with open_executor(workers, bars=True) as pool:
        for outcome in pool.imap(compare, pairs(), chunk=64, label="prototypes"):
            i, j = places[outcome.index]
            right[i][j] |= outcome.value is not None
    formulas = [Formula(*one) for one in zip(lists, right, strict=True)]
    return [one for one in formulas if one.right.any() and not one.right.all()]


def some(formula: Formula, generator: np.random.Generator) -> Formula:
    """Return a formula with some of its prototypes, right and wrong ones among them."""
    for _ in range(5):
        kept = generator.random(len(formula.right)) < generator.choice(_KEPT)
        if (formula.right & kept).any() and (~formula.right & kept).any():
            chosen = [p for p, keep in zip(formula.prototypes, kept, strict=True) if keep]
            return Formula(chosen, formula.right[kept])
    return formula


def joined(
    ranking: PrototypeRanking, formulas: Sequence[Formula]
) -> tuple[GraphBatch, Tensor, Tensor]:
    """Return what a network looks at, of all prototypes of several formulas."""
    parts = [ranking.inputs(formula.prototypes) for formula in formulas]
    replaced = torch.from_numpy(np.concatenate([part[1] for part in parts])).long()
    clues = torch.from_numpy(np.concatenate([part[2] for part in parts]))
    return join([graph for part in parts for graph in part[0]]), replaced, clues


def strained(batch: GraphBatch, generator: torch.Generator) -> GraphBatch:
    """Return graphs with all lengths of each crystal off by about 2 %."""
    factors = 1 + _STRAIN * torch.randn(len(batch.volumes), generator=generator)
    distances = batch.distances * factors[batch.crystal][:, None]
    return batch._replace(distances=distances, volumes=batch.volumes * factors**3)


def loss_of(scores: Tensor, formulas: Sequence[Formula]) -> Tensor:
    """Return the mean over formulas of −log of the probability of all that are right."""
    losses = []
    sizes = [len(formula.prototypes) for formula in formulas]
    for formula, own in zip(formulas, scores.split(sizes), strict=True):
        losses.append(-own.log_softmax(0)[torch.from_numpy(formula.right)].logsumexp(0))
    return torch.stack(losses).mean()


def train(
    ranking: PrototypeRanking,
    formulas: Sequence[Formula],
    *,
    epochs: int = 8,
    batch_size: int = 16,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> RankingNet:
    """Train a network and return it with the mean of its weights over the last steps.

    Args:
        epochs, batch_size, learning_rate: of AdamW with a rise and a cosine fall.
        seed: of weights, order, strain and dropout; nothing global is seeded for good.
    """
    generator = np.random.default_rng(seed)
    strain = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = RankingNet()
        mean = copy.deepcopy(net).eval()
        optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.1)
        steps = epochs * (len(formulas) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, learning_rate, steps, pct_start=0.1
        )
        for step, rows in enumerate(_batches(len(formulas), batch_size, epochs, generator), 1):
            batch = [some(formulas[i], generator) for i in rows]
            graphs, replaced, clues = joined(ranking, batch)
            loss = loss_of(net(strained(graphs, strain), replaced, clues), batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimizer.step()
            schedule.step()
            follow(mean, net, min(1 - 1 / _AVERAGED_STEPS, (1 + step) / (10 + step)))
            if step % 100 == 0 or step == steps:
                print(f"step {step} of {steps}: loss {loss.item():.3f}", flush=True)
    return mean


def _batches(
    number: int, size: int, epochs: int, generator: np.random.Generator
) -> Iterator[list[int]]:
    for _ in range(epochs):
        order = generator.permutation(number)
        for start in range(0, number - size + 1, size):
            yield order[start : start + size].tolist()


def main() -> None:
    """Train and write the weights, in half precision."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--formulas", type=int, default=None, help="fewer, for a trial")
    parser.add_argument("--out", default=str(WEIGHTS))
    options = parser.parse_args()
    known = load_pretrained("mp_20").training_crystals
    formulas = formulas_of(known, options.formulas, options.workers)
    print(f"{len(formulas)} formulas have right and wrong ones among their prototypes")
    weights = {}
    for member in range(options.members):
        net = train(known.ranking, formulas, epochs=options.epochs, seed=3 + member)
        for name, tensor in net.state_dict().items():
            weights[f"{member}.{name}"] = tensor if name == "elements" else tensor.half()
    save_file(weights, options.out)


if __name__ == "__main__":
    main()
