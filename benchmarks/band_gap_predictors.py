"""Training of the band gap predictors: `python -m benchmarks.band_gap_predictors`.

About five minutes on two cores for the perceptrons, ten for the graph networks; the validation set
chooses the epoch, errors are those on the test set.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.evaluate.band_gap.features import CrystalGraph, band_gap_inputs
from crystal_ldm.evaluate.band_gap.networks import (
    METAL_PROBABILITY,
    BandGapNet,
    GraphBatch,
    GraphNet,
    final_gap,
    join,
)
from crystal_ldm.evaluate.band_gap.own_predictor import (
    GRAPH,
    PERCEPTRONS,
    load_net,
    together,
)
from crystal_ldm.parallel import open_executor
from crystal_ldm.random import torch_generator

_AVERAGED_STEPS = 500
"""The weights that are validated and kept are a running mean over about as many steps."""

METAL_EV = 0.0
"""A crystal with a PBE gap of at most this counts as a metal."""


def band_gap_loss(logits: Tensor, predicted: Tensor, gaps: Tensor) -> Tensor:
    """Return cross entropy of metal or not plus absolute error of the gap of non-metals.

    Args:
        logits, predicted: metal logits and gaps in eV of each member, (members, B).
        gaps: true ones in eV, (B,).
    """
    metal = (gaps <= METAL_EV).float().expand_as(logits)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, metal)
    insulating = gaps > METAL_EV
    if insulating.any():
        loss = loss + (predicted[:, insulating] - gaps[insulating]).abs().mean()
    return loss


def errors(prediction: tuple[Tensor, Tensor], gaps: Tensor) -> dict[str, float]:
    """Return errors: `mae` of the final gap over all, `mae_nonmetals` of the gap as if not metallic
    over true non-metals (both eV), and `metal_accuracy`.

    Args:
        prediction: gaps in eV as if not metallic and probabilities of a metal, both (B,).
        gaps: true ones in eV, (B,).
    """
    gap, metal = prediction
    insulating = gaps > METAL_EV
    right = (metal >= METAL_PROBABILITY) == ~insulating
    return {
        "mae": float((final_gap(gap, metal) - gaps).abs().mean()),
        "mae_nonmetals": float((gap - gaps)[insulating].abs().mean()),
        "metal_accuracy": float(right.float().mean()),
        "n": len(gaps),
        "n_nonmetals": int(insulating.sum()),
    }


def train_graphs(
    graphs: Mapping[str, Sequence[CrystalGraph]],
    gaps: Mapping[str, Tensor],
    *,
    members: int = 2,
    width: int = 64,
    layers: int = 3,
    epochs: int = 30,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    noise: float = 0.015,
    seed: int = 0,
) -> GraphNet:
    """Train on the part "train", keep the mean weights after the epoch that is best on "val".

    Args:
        gaps: (n,) in eV by part.
        epochs, batch_size, learning_rate: of AdamW with a rise and a cosine fall.
        noise: see `strained`; generated crystals are not exact.
        seed: of weights, order, noise and dropout; nothing global is seeded for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = GraphNet(members, width, layers)
        mean = copy.deepcopy(net).eval()
        optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.02)
        steps = epochs * -(-len(gaps["train"]) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, learning_rate, steps, pct_start=0.1
        )
        best, best_error, step = copy.deepcopy(mean.state_dict()), float("inf"), 0
        for epoch in range(epochs):
            net.train()
            order = torch.randperm(len(gaps["train"]), generator=torch_generator(seed, epoch))
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                batch = strained(join([graphs["train"][i] for i in rows.tolist()]), noise)
                logits, predicted = net(batch)
                loss = band_gap_loss(logits, predicted, gaps["train"][rows])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 2.0)
                optimizer.step()
                schedule.step()
                step += 1
                follow(mean, net, min(1 - 1 / _AVERAGED_STEPS, (1 + step) / (10 + step)))
            error = errors(mean.predict_many(graphs["val"]), gaps["val"])["mae"]
            if error < best_error:
                best, best_error = copy.deepcopy(mean.state_dict()), error
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}, MAE on val {error:.3f} eV")
    mean.load_state_dict(best)
    return mean


def strained(batch: GraphBatch, sigma: float) -> GraphBatch:
    """Return graphs with each crystal's lengths, and each distance, off by about `sigma` of them.

    No neighbour gets beyond the farthest, which counts nothing.
    """
    lengths = 1 + sigma * torch.randn_like(batch.volumes)
    factors = lengths[batch.crystal][:, None] + sigma * torch.randn_like(batch.distances)
    distances = batch.distances * factors
    return batch._replace(
        distances=torch.minimum(distances, distances[:, -1:]), volumes=batch.volumes * lengths**3
    )


def follow(mean: nn.Module, net: nn.Module, share: float) -> None:
    """Keep a share of the mean weights and take the rest from the network."""
    with torch.no_grad():
        for slow, fast in zip(mean.parameters(), net.parameters(), strict=True):
            slow.lerp_(fast, 1 - share)


KINDS = ("perceptrons", "graph")


def train(
    features: dict[str, Tensor],
    gaps: dict[str, Tensor],
    *,
    members: int = 4,
    width: int = 192,
    epochs: int = 60,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> BandGapNet:
    """Train perceptrons on the part "train", keep the epoch with the lowest error on "val".

    Args:
        features: (n, 293) by part.
        gaps: (n,) in eV by part.
        epochs, batch_size, learning_rate: of AdamW with a cosine schedule.
        seed: of weights, order and dropout; nothing global is seeded for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = BandGapNet(members, width)
        net.mean.copy_(features["train"].mean(dim=0))
        net.spread.copy_(features["train"].std(dim=0).clamp(min=1e-3))
        optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=1e-2)
        steps = epochs * -(-len(gaps["train"]) // batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        best, best_error = {k: v.clone() for k, v in net.state_dict().items()}, float("inf")
        for epoch in range(epochs):
            net.train()
            order = torch.randperm(len(gaps["train"]), generator=torch_generator(seed, epoch))
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                logits, predicted = net(features["train"][rows])
                loss = band_gap_loss(logits, predicted, gaps["train"][rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            net.eval()
            with torch.no_grad():
                error = errors(net.predict(features["val"]), gaps["val"])["mae"]
            if error < best_error:
                best_error = error
                best = {k: v.clone() for k, v in net.state_dict().items()}
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}, MAE on val {error:.3f} eV")
    net.load_state_dict(best)
    return net.eval()


def save(net: nn.Module, card: dict[str, Any], path: Path) -> None:
    """Write the weights in half precision, with the card beside them in the same file."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    # The scales of the features span many orders of magnitude: they stay in single precision.
    state = {
        name: (value.half() if name.startswith("members") else value).contiguous()
        for name, value in net.state_dict().items()
    }
    save_file(state, path, metadata={"card": json.dumps(card)})


def dataset_inputs(
    dataset: Any, workers: int | None
) -> tuple[NDArray[np.float32], list[CrystalGraph], list[int]]:
    """Return features and graphs of all crystals of a data set and the positions that have them."""
    crystals = read_crystals(dataset).crystals
    with open_executor(workers, bars=True) as pool:
        outcomes = pool.map(band_gap_inputs, crystals, chunk=64, label="inputs")
    able = [outcome for outcome in outcomes if outcome.error is None]
    features = np.stack([outcome.value[0] for outcome in able])
    return features, [o.value[1] for o in able], [o.index for o in able]


def main() -> None:
    """Train on `oqmd_icsd` and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="the other stays as it is"
    )
    options = parser.parse_args()
    from crystal_ldm.data import load_dataset

    dataset = load_dataset("oqmd_icsd")
    values, whole, able = dataset_inputs(dataset, options.workers)
    labels = np.asarray(dataset.labels["band_gap"], dtype=np.float32)[able]
    row_of = {position: row for row, position in enumerate(able)}
    features, graphs, gaps = {}, {}, {}
    for part in ("train", "val", "test"):
        rows = [row_of[int(i)] for i in dataset.indices(part) if int(i) in row_of]
        features[part], gaps[part] = torch.from_numpy(values[rows]), torch.from_numpy(labels[rows])
        graphs[part] = [whole[row] for row in rows]
    data = {"data": dataset.name, "data_hash": dataset.content_hash}
    if "perceptrons" in options.kinds:
        perceptrons = train(features, gaps, seed=options.seed)
    else:
        perceptrons = load_net(PERCEPTRONS)[0]
    if "graph" in options.kinds:
        graph = train_graphs(graphs, gaps, seed=options.seed)
    else:
        graph = load_net(GRAPH)[0]
    scores: dict[str, dict[str, Any]] = {"perceptrons": {}, "graph": {}, "together": {}}
    for part in ("test", "val"):
        with torch.no_grad():
            kinds = [perceptrons.predict(features[part]), graph.predict_many(graphs[part])]
        for name, prediction in zip(scores, [*kinds, together(kinds)], strict=True):
            scores[name][part] = errors(prediction, gaps[part])
    if "perceptrons" in options.kinds:
        shape = {"members": len(perceptrons.members), "width": perceptrons.width}
        save(perceptrons, {**shape, **data, **scores["perceptrons"]}, PERCEPTRONS)
    # Its card says how good both are together.
    shape = {"members": len(graph.members), "width": graph.width, "layers": graph.layers}
    card = {**shape, **data, **scores["graph"], "together": scores["together"]}
    save(graph, card, GRAPH)
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
