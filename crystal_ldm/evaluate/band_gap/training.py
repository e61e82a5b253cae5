"""Training of the band gap predictor: `python -m crystal_ldm.evaluate.band_gap.training`.

About five minutes on two cores; the part `val` chooses the epoch, `test` is reported.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_ldm.evaluate.band_gap.features import band_gap_features
from crystal_ldm.evaluate.band_gap.predictor import WEIGHTS, BandGapNet
from crystal_ldm.evaluate.inputs import read_crystals
from crystal_ldm.evaluate.workers import WorkerPool
from crystal_ldm.evaluate.workers.progress import Reporter
from crystal_ldm.random import torch_generator

METAL_EV = 0.0
"""A crystal with a PBE gap of at most this counts as a metal."""


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
    """Train on the part "train", keep the epoch with the lowest error on "val".

    Args:
        features: (n, 293) by part.
        gaps: (n,) in eV by part.
        members, width: of the network.
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
                loss = band_gap_loss(net, features["train"][rows], gaps["train"][rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            error = float(errors(net, features["val"], gaps["val"])["mae"])
            if error < best_error:
                best_error = error
                best = {k: v.clone() for k, v in net.state_dict().items()}
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}, MAE on val {error:.3f} eV")
    net.load_state_dict(best)
    return net.eval()


def band_gap_loss(net: BandGapNet, features: Tensor, gaps: Tensor) -> Tensor:
    """Return cross entropy of metal or not plus absolute error of the gap of non-metals."""
    logits, predicted = net(features)
    metal = (gaps <= METAL_EV).float().expand_as(logits)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, metal)
    insulating = gaps > METAL_EV
    if insulating.any():
        loss = loss + (predicted[:, insulating] - gaps[insulating]).abs().mean()
    return loss


def errors(net: BandGapNet, features: Tensor, gaps: Tensor) -> dict[str, float]:
    """Return errors: `mae` of the final gap over all, `mae_nonmetals` of the gap as if not metallic
    over true non-metals (both eV), and `metal_accuracy`."""
    net.eval()
    with torch.no_grad():
        gap, metal = net.predict(features)
    final = torch.where(metal >= 0.5, torch.zeros_like(gap), gap)
    insulating = gaps > METAL_EV
    right = (metal >= 0.5) == ~insulating
    return {
        "mae": float((final - gaps).abs().mean()),
        "mae_nonmetals": float((gap - gaps)[insulating].abs().mean()),
        "metal_accuracy": float(right.float().mean()),
        "n": len(gaps),
        "n_nonmetals": int(insulating.sum()),
    }


def save(net: BandGapNet, card: dict[str, Any], path: Path = WEIGHTS) -> None:
    """Write the weights in half precision, with the card beside them in the same file."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    # The scales of the features span many orders of magnitude: they stay in single precision.
    state = {
        name: (value.half() if name.startswith("members") else value).contiguous()
        for name, value in net.state_dict().items()
    }
    save_file(state, path, metadata={"card": json.dumps(card)})


def dataset_features(dataset: Any, workers: int | None) -> tuple[NDArray[np.float32], list[int]]:
    """Return features of all crystals of a data set and the positions that have them."""
    crystals = read_crystals(dataset).crystals
    with WorkerPool(workers) as pool, Reporter(True).stage("features", len(crystals)) as progress:
        outcomes = pool.map(band_gap_features, crystals, chunk=64, progress=progress)
    able = [outcome.index for outcome in outcomes if outcome.error is None]
    return np.stack([outcomes[i].value for i in able]), able


def main() -> None:
    """Train on `oqmd_icsd` and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from crystal_ldm.data import load_dataset

    dataset = load_dataset("oqmd_icsd")
    values, able = dataset_features(dataset, options.workers)
    labels = np.asarray(dataset.labels["band_gap"], dtype=np.float32)[able]
    row_of = {position: row for row, position in enumerate(able)}
    features, gaps = {}, {}
    for part in ("train", "val", "test"):
        rows = [row_of[int(i)] for i in dataset.indices(part) if int(i) in row_of]
        features[part], gaps[part] = torch.from_numpy(values[rows]), torch.from_numpy(labels[rows])
    net = train(features, gaps, epochs=options.epochs, seed=options.seed)
    card = {
        "members": len(net.members),
        "width": net.members[0][0].out_features,  # type: ignore[index]
        "data": dataset.name,
        "data_hash": dataset.content_hash,
        "test": errors(net, features["test"], gaps["test"]),
        "val": errors(net, features["val"], gaps["val"]),
    }
    save(net, card)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
