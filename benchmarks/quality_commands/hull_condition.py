"""The composition model's condition on the hull distance, trained to tell hull distances apart.

By likelihood alone it learns little: a hull distance changes −log p(composition) by some tenths of
a nat among ten. Bayes' rule asks for that change itself: p(range | composition) is proportional to
p(range) p(composition | a distance of the range). The trained embedding alone is changed, so that
without a hull distance the model makes the crystals that it made before.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from benchmarks.quality_commands.shared import Row, held_out, training_set
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.composition_model.network import CompositionModel
from crystal_ldm.ldm_module.composition_model.sequences import PLACES, mask_by_place
from crystal_ldm.ldm_module.composition_model.training import composition_nll
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.random import torch_generator

NAME = "e_above_hull"
EDGES_EV = (0.02, 0.1, 0.25)
"""Between the ranges of hull distances that are told apart, eV/atom."""
STEPS, BATCH, RATE = 1400, 64, 0.01
LIKELIHOOD = 0.1
"""Weight of −log p(composition | hull distance) beside Bayes' rule: compositions stay likely."""
RARENESS = 0.6
"""A crystal of a range that holds the share s is seen in proportion to s^-0.6."""


def hull_condition(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Train it on the training set and write the model as `model.safetensors` to `--run-dir`.

    How well it tells crystals of `--part` within 0.1 eV/atom of the hull from others is given as
    the area under the ROC curve of log p(composition | 0.3) − log p(composition | 0), before and
    after.
    """
    trained = model.composition_model
    assert trained is not None
    unseen = held_out(options, model.vae)
    rows: list[Row] = [{"when": "before", **_told_apart(model, unseen)}]
    crystals = training_set(options)
    known = model.representable(crystals)
    crystals = crystals[(known & crystals.conditions[NAME].isfinite()).nonzero().flatten()]
    working = copy.deepcopy(trained).requires_grad_(True)
    working.freeze_all_but([NAME])
    _train(working, model, crystals, options.seed)
    trained.load_state_dict(working.state_dict())
    rows.append({"when": "after", **_told_apart(model, unseen)})
    folder = Path(options.run_dir or "runs/quality/hull_condition")
    folder.mkdir(parents=True, exist_ok=True)
    save_safetensors(model, folder / "model.safetensors")
    return [*rows, {"written to": str(folder / "model.safetensors")}]


def _train(working: CompositionModel, model: LDMModule, crystals: CrystalBatch, seed: int) -> None:
    """Train the embedding of hull distances; the weights are means over some 50 steps at last."""
    distances = _encoded(model, crystals)[NAME][:, 0]
    ranges = torch.bucketize(distances, torch.tensor(EDGES_EV))
    members = [(ranges == k).nonzero().flatten() for k in range(len(EDGES_EV) + 1)]
    weights = torch.tensor([len(rows) for rows in members])[ranges].float() ** -RARENESS
    prior = torch.stack([weights[rows].sum() for rows in members])
    parameters = [p for p in working.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=STEPS, pct_start=0.1
    )
    generator = torch_generator(seed, 6)
    means = [p.detach().clone() for p in parameters]
    for step in range(STEPS):
        rows = torch.multinomial(weights, BATCH, generator=generator)
        # Each crystal with a distance of every range, its own among them.
        asked = torch.stack(
            [
                distances[part[torch.randint(len(part), (BATCH,), generator=generator)]]
                for part in members
            ]
        )
        columns = torch.arange(BATCH)
        asked[ranges[rows], columns] = distances[rows]
        nll = _nll(working, model, crystals[rows.repeat(len(members))], asked.flatten())
        nll = nll.view(len(members), BATCH)
        bayes = nn.functional.cross_entropy((prior.log().unsqueeze(1) - nll).T, ranges[rows])
        loss = bayes + LIKELIHOOD * nll[ranges[rows], columns].mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        for mean, parameter in zip(means, parameters, strict=True):
            mean.lerp_(parameter.detach(), max(0.02, 1 / (step + 1)))
        if step % 100 == 99:
            print(f"step {step + 1}: {bayes.item():.3f} nats for a range", flush=True)
    with torch.no_grad():
        for mean, parameter in zip(means, parameters, strict=True):
            parameter.copy_(mean)


def _encoded(model: LDMModule, crystals: CrystalBatch) -> dict[str, Tensor]:
    """Return all conditions (B, F) left out but the hull distance."""
    conditions = model.network.properties
    encoded = {name: c.null_encoding(len(crystals)) for name, c in conditions.items()}
    condition = conditions[NAME]
    return {**encoded, NAME: condition.encode(condition.known(crystals.conditions[NAME]))}


def _nll(
    working: CompositionModel, model: LDMModule, crystals: CrystalBatch, distances: Tensor
) -> Tensor:
    """Return −log p(composition | hull distance), (B,) in nats, nothing of it given."""
    atoms = CrystalBatch(crystals.atomic_numbers, crystals.num_atoms, conditions={NAME: distances})
    given = torch.zeros(len(atoms), PLACES, dtype=torch.long)
    by_place = mask_by_place(model.element_mask().cpu())
    return composition_nll(working, atoms, given, _encoded(model, atoms), by_place)


@torch.no_grad()
def _told_apart(model: LDMModule, crystals: CrystalBatch) -> Row:
    labels = crystals.conditions[NAME]
    crystals, labels = crystals[labels.isfinite().nonzero().flatten()], labels[labels.isfinite()]
    near, far = (
        _nll(model.composition_model, model, crystals, torch.full_like(labels, distance))
        for distance in (0.0, 0.3)
    )
    score, unstable = near - far, labels > 0.1
    auc = mannwhitneyu(score[unstable], score[~unstable]).statistic
    share = float(auc) / int(unstable.sum() * (~unstable).sum())
    return {"n": len(labels), "above 0.1 eV/atom": int(unstable.sum()), "area under ROC": share}
