"""Training of the graph network for band gaps."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from crystal_ldm.evaluate.band_gap.graph_network import GraphBatch, GraphNet, join
from crystal_ldm.evaluate.band_gap.graphs import CrystalGraph
from crystal_ldm.evaluate.band_gap.scoring import band_gap_loss, errors
from crystal_ldm.random import torch_generator

_AVERAGED_STEPS = 500
"""The weights that are validated and kept are a running mean over about as many steps."""


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
        graphs: of the crystals, by part.
        gaps: (n,) in eV by part.
        members, width, layers: of the network.
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
                _follow(mean, net, min(1 - 1 / _AVERAGED_STEPS, (1 + step) / (10 + step)))
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


def _follow(mean: nn.Module, net: nn.Module, share: float) -> None:
    """Keep a share of the mean weights and take the rest from the network."""
    with torch.no_grad():
        for slow, fast in zip(mean.parameters(), net.parameters(), strict=True):
            slow.lerp_(fast, 1 - share)
