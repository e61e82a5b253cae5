"""Training the composition prior: minutes, before the denoiser's hours."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module.composition_model.choices import (
    Sequences,
    State,
    counts_by_place,
    mask_by_place,
)
from crystal_ldm.ldm_module.composition_model.network import CompositionPrior
from crystal_ldm.ldm_module.condition.base import leave_out
from crystal_ldm.ldm_module.latents import LatentBatch
from crystal_ldm.nn.optimizer import Optimizer
from crystal_ldm.random import torch_generator

BATCH_SIZE = 256
AVERAGED_STEPS = 200
GIVEN_NOTHING, GIVEN_ATOMS = 0.6, 0.8
"""Shares of crystals of which nothing is given; of which atoms are; of the rest, elements."""


def fit_prior(
    prior: CompositionPrior,
    train: LatentBatch,
    held_out: LatentBatch,
    known_elements: Tensor,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> float:
    """Train `prior` in place; return the loss on the choosing part, in nats for each composition.

    The weights that are kept are running means over some 200 steps, those of the epoch with the
    lowest loss on the choosing part: a few thousand compositions are soon learned by heart.

    Args:
        prior: with its conditions built.
        train: crystals and their encoded conditions, NaN where missing.
        held_out: those of the choosing part.
        known_elements: (119,) bool by atomic number, the model's vocabulary.
        seed: of the batches, of what is given and of dropout.
        report: called before each epoch with its number and the lowest loss so far.
    """
    by_place = mask_by_place(known_elements)
    prior.requires_grad_(True)
    steps_in_epoch = math.ceil(len(train) / BATCH_SIZE)
    schedule = Optimizer(
        learning_rate=prior.learning_rate,
        warmup_steps=min(300, steps_in_epoch),
        max_steps=prior.epochs * steps_in_epoch,
        weight_decay=0.1,
    )
    built = schedule.build(prior.parameters())
    optimizer, rate = built["optimizer"], built["lr_scheduler"]["scheduler"]
    average = copy.deepcopy(prior).requires_grad_(False)

    def held_out_loss() -> float:
        generator = torch_generator(seed, 4)
        with torch.no_grad():
            return float(
                composition_loss(
                    average,
                    held_out.crystals,
                    held_out.encoded,
                    by_place,
                    generator,
                    dropout=False,
                )
            )

    best, lowest = copy.deepcopy(average.state_dict()), held_out_loss()
    for epoch in range(prior.epochs):
        if report is not None:
            report(epoch, lowest)
        generator = torch_generator(seed, 3, epoch)
        order = torch.randperm(len(train), generator=generator)
        for rows in order.split(BATCH_SIZE):
            part = train[rows]
            loss = composition_loss(prior, part.crystals, part.encoded, by_place, generator)
            loss.backward()
            nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
            for mean, value in zip(average.parameters(), prior.parameters(), strict=True):
                mean.lerp_(value.detach(), 1 / AVERAGED_STEPS)
        if (current := held_out_loss()) < lowest:
            best, lowest = copy.deepcopy(average.state_dict()), current
    prior.load_state_dict(best)
    prior.requires_grad_(False)
    return lowest


def composition_loss(
    prior: CompositionPrior,
    crystals: CrystalBatch,
    encoded: Mapping[str, Tensor],
    by_place: Tensor,
    generator: torch.Generator,
    dropout: bool = True,
) -> Tensor:
    """Return the mean of −log p(composition | …) over crystals, in nats.

    Conditions are left out as often as in the denoiser's training, and part of the composition is
    given for some of the crystals.
    """
    counts = counts_by_place(crystals.atomic_numbers)
    given = _some_given(counts, generator)
    kept = leave_out(prior.properties, encoded, generator)
    target = Sequences.of(counts)
    before = Sequences(_shifted(target.places), _shifted(target.counts))
    taken = (before.counts - given.gather(1, before.places)).cumsum(dim=1)
    places = torch.arange(counts.shape[1])
    states = State(
        previous=before.places,
        spare=(counts.sum(dim=1) - given.sum(dim=1)).unsqueeze(1) - taken,
        given=given.unsqueeze(1) * (places > before.places.unsqueeze(-1)),
        allowed=by_place.expand(*before.places.shape, -1),
    )
    exists = target.places > 0
    # After a sequence's end the state means nothing; any values that exist will do.
    states.spare = states.spare.where(exists, 0)
    states.given = states.given * exists.unsqueeze(-1)
    context = prior.context(crystals.num_atoms, given, kept)
    hidden = prior(before, states, context, generator if dropout else None)
    elements = prior.element_head(hidden).masked_fill(~states.element_choices(), -torch.inf)
    numbers = prior.count_logits(hidden, target.places)
    numbers = numbers.masked_fill(~states.count_choices(target.places, prior.max_atoms), -torch.inf)
    loss = nn.functional.cross_entropy(elements[exists], target.places[exists], reduction="sum")
    loss = loss + nn.functional.cross_entropy(
        numbers[exists], target.counts[exists], reduction="sum"
    )
    return loss / len(counts)


def _shifted(values: Tensor) -> Tensor:
    return nn.functional.pad(values, (1, 0))[:, :-1]


def _some_given(counts: Tensor, generator: torch.Generator) -> Tensor:
    """Return the atoms (B, 119) that are given: of most crystals none, of some a random part."""
    kind = torch.rand(len(counts), 1, generator=generator)
    share = torch.rand(len(counts), 1, generator=generator)
    draws = torch.rand(counts.shape, generator=generator)
    whole = counts * (draws < share)
    # A share of each element's atoms, rounded at random: some of a formula's atoms are open.
    part = (counts * share + draws).floor().long().clamp_max(counts)
    given = torch.where(kind < GIVEN_ATOMS, part, whole)
    return torch.where(kind < GIVEN_NOTHING, torch.zeros_like(given), given)
