"""Training the composition model: minutes, beside the denoiser's hours."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module.composition_model.network import CompositionModel
from crystal_ldm.ldm_module.composition_model.sequences import (
    Sequences,
    State,
    counts_by_place,
    mask_by_place,
)
from crystal_ldm.ldm_module.condition.base import leave_out
from crystal_ldm.ldm_module.latents import LatentBatch
from crystal_ldm.nn.average import running_average, update_average
from crystal_ldm.nn.optimizer import Optimizer
from crystal_ldm.random import torch_generator

BATCH_SIZE = 256
AVERAGED_STEPS = 200
VALIDATED_STEPS = 20
"""Fewest steps between two looks at the validation set: the mean of the last 200 hardly changes in
fewer, and an epoch of a few crystals is one step."""
ADDED_STEPS = 600
"""Fewest steps in which the embedding of an added condition is trained: with 80 crystals it steers
after so many and hardly after half of them."""
FEW_CRYSTALS = 20
"""A validation set of fewer crystals chooses no weights: the last ones are kept."""
GIVEN_NOTHING, GIVEN_ATOMS = 0.6, 0.8
"""Shares of crystals of which nothing is given; of which atoms are; of the rest, elements."""


class CompositionTraining:
    """Training of a composition model in portions of a step, after any of which it can be resumed.

    The weights that `model` has by now are running means over some 200 steps, those of the epoch
    with the lowest loss on the validation set: a few thousand compositions are soon learned by
    heart. A validation set of few crystals decides nothing; then they are those of the last epoch.
    Of short epochs only some are looked at (`VALIDATED_STEPS`), the last one among them.

    Args:
        model: the composition model, with its conditions built. It is changed in place; on any
            device.
        train: crystals and their encoded conditions, NaN where missing.
        held_out: those of the validation set.
        known_elements: (119,) bool by atomic number, the model's vocabulary.
        seed: of the batches, of what is given and of dropout.
        added: conditions whose embeddings alone are trained; empty: all weights are.

    Attributes:
        loss: on the validation set, in nats for each composition, of the weights of `model`.
    """

    def __init__(
        self,
        model: CompositionModel,
        train: LatentBatch,
        held_out: LatentBatch,
        known_elements: Tensor,
        seed: int = 0,
        added: Collection[str] = (),
    ) -> None:
        self.model = model
        self.train, self.held_out = train.to("cpu"), held_out.to("cpu")
        self.by_place = mask_by_place(known_elements.cpu())
        self.seed = seed
        self.steps_in_epoch = math.ceil(len(train) / BATCH_SIZE)
        self.steps_to_validation = self.steps_in_epoch * math.ceil(
            VALIDATED_STEPS / self.steps_in_epoch
        )
        epochs = max(model.epochs, math.ceil(ADDED_STEPS / self.steps_in_epoch)) if added else 0
        self.max_steps = self.steps_in_epoch * (epochs or model.epochs)
        self.working = copy.deepcopy(model).cpu().requires_grad_(True)
        if added:
            self.working.freeze_all_but(added)
        schedule = Optimizer(
            learning_rate=model.learning_rate,
            warmup_steps=min(300, self.steps_in_epoch),
            max_steps=self.max_steps,
            weight_decay=0.1,
        )
        self.trained = [p for p in self.working.parameters() if p.requires_grad]
        built = schedule.build(self.trained)
        self.optimizer, self.rate = built["optimizer"], built["lr_scheduler"]["scheduler"]
        self.average = running_average(self.working, 1 - 1 / AVERAGED_STEPS)
        self.step = 0
        self.loss = self._held_out_loss()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.max_steps

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.step // self.steps_in_epoch

    @property
    def epochs(self) -> int:
        """Epochs in all."""
        return self.max_steps // self.steps_in_epoch

    def run_step(self) -> None:
        """Train one step."""
        epoch, position = divmod(self.step, self.steps_in_epoch)
        order = torch.randperm(len(self.train), generator=torch_generator(self.seed, 3, epoch))
        part = self.train[order.split(BATCH_SIZE)[position]]
        generator = torch_generator(self.seed, 5, self.step)
        loss = composition_loss(self.working, part.crystals, part.encoded, self.by_place, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.rate.step()
        self.optimizer.zero_grad()
        self.step += 1
        # From the first weights on, so that the mean begins where the composition model did.
        update_average(self.average, self.working, self.step + 1)
        if self.step % self.steps_to_validation and not self.finished:
            return
        loss_now = self._held_out_loss()
        if loss_now < self.loss or len(self.held_out) < FEW_CRYSTALS:
            self.loss = loss_now
            self.model.load_state_dict(self.average.module.state_dict())

    def _held_out_loss(self) -> float:
        generator = torch_generator(self.seed, 4)
        average: Any = self.average.module
        with torch.no_grad():
            return float(
                composition_loss(
                    average,
                    self.held_out.crystals,
                    self.held_out.encoded,
                    self.by_place,
                    generator,
                    dropout=False,
                )
            )

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs; the weights of `model` are saved with its model."""
        return {
            "step": self.step,
            "loss": self.loss,
            "working": self.working.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": {"last_epoch": self.rate.last_epoch},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `state_dict`."""
        self.step, self.loss = state["step"], state["loss"]
        self.working.load_state_dict(state["working"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.last_epoch = state["rate"]["last_epoch"]


def composition_loss(
    model: CompositionModel,
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
    given_counts = _some_given(counts_by_place(crystals.atomic_numbers), generator)
    kept = leave_out(model.properties, encoded, generator)
    drawn = generator if dropout else None
    return composition_nll(model, crystals, given_counts, kept, by_place, drawn).mean()


def composition_nll(
    model: CompositionModel,
    crystals: CrystalBatch,
    given_counts: Tensor,
    encoded: Mapping[str, Tensor],
    by_place: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return −log p(composition | conditions, given atoms) of each crystal, (B,) in nats.

    Args:
        model: the composition model.
        crystals: atomic numbers and numbers of atoms are needed.
        given_counts: (B, 119) atoms that are given, by place.
        encoded: encoded conditions by name, NaN where left out.
        by_place: the model's elements, `mask_by_place`.
        generator: draws dropout; None: there is none.
    """
    counts = counts_by_place(crystals.atomic_numbers)
    target = Sequences.of(counts)
    before = Sequences(_shifted(target.places), _shifted(target.counts))
    taken = (before.counts - given_counts.gather(1, before.places)).cumsum(dim=1)
    places = torch.arange(counts.shape[1])
    states = State(
        previous=before.places,
        spare=(counts.sum(dim=1) - given_counts.sum(dim=1)).unsqueeze(1) - taken,
        given=given_counts.unsqueeze(1) * (places > before.places.unsqueeze(-1)),
        allowed=by_place.expand(*before.places.shape, -1),
    )
    exists = target.places > 0
    # After a sequence's end the state means nothing; any values that exist will do.
    states.spare = states.spare.where(exists, 0)
    states.given = states.given * exists.unsqueeze(-1)
    context = model.context(crystals.num_atoms, given_counts, encoded)
    hidden = model(before, states, context, generator)
    elements = model.element_head(hidden).masked_fill(~states.element_choices(), -torch.inf)
    numbers = model.count_logits(hidden, target.places)
    numbers = numbers.masked_fill(~states.count_choices(target.places, model.max_atoms), -torch.inf)
    nll = torch.zeros(len(counts), dtype=elements.dtype)
    for logits, chosen in ((elements, target.places), (numbers, target.counts)):
        losses = nn.functional.cross_entropy(logits[exists], chosen[exists], reduction="none")
        nll = nll.index_add(0, exists.nonzero()[:, 0], losses)
    return nll


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
    given_counts = torch.where(kind < GIVEN_ATOMS, part, whole)
    return torch.where(kind < GIVEN_NOTHING, torch.zeros_like(given_counts), given_counts)
