"""Drawing compositions, each crystal with random numbers of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from crystal_ldm.ldm_module.composition_model.network import CompositionModel
from crystal_ldm.ldm_module.composition_model.sequences import (
    PLACES,
    Sequences,
    State,
    counts_by_place,
    element_at_place,
    mask_by_place,
)
from crystal_ldm.ldm_module.guidance import Pass


@torch.inference_mode()
def draw_compositions(
    model: CompositionModel,
    atomic_numbers: Tensor,
    num_atoms: Tensor,
    allowed: Tensor,
    encoded: Mapping[str, Tensor],
    names: Sequence[str],
    chosen_passes: Sequence[Pass],
    generators: Sequence[np.random.Generator],
    temperature: float = 1.0,
) -> Tensor:
    """Return complete atomic numbers (B, N), by electronegativity, 0 where padded.

    Guidance adds up logarithms of probabilities as it adds up predictions of noise
    (`guidance.passes`): log p(∅) + w1 [log p(c1) − log p(∅)] + …, and what comes of it is made a
    distribution again. The model is in double precision on the CPU, so that a crystal's elements do
    not depend on which others are drawn beside it.

    Args:
        model: the composition model, in double precision.
        atomic_numbers: (B, N), 0 where open; what is given stays, whatever is allowed.
        num_atoms: (B,).
        allowed: (B, 119) bool by atomic number, what open atoms may become; at least one element
            where atoms are open.
        encoded: encoded conditions by name.
        names: the conditions that are given, in the order of guidance.
        chosen_passes: how many of them each evaluation takes, and its weight.
        generators: one for each crystal.
        temperature: divides the logarithms of the (guided) probabilities; 0: the likeliest choices.
    """
    atomic_numbers, num_atoms = atomic_numbers.cpu(), num_atoms.cpu()
    given_counts = counts_by_place(atomic_numbers)
    by_place = mask_by_place(allowed.cpu())
    contexts = []
    for one in chosen_passes:
        kept = set(names[: one.kept])
        values = {
            name: e.cpu().double() if name in kept else torch.full_like(e.cpu(), torch.nan).double()
            for name, e in encoded.items()
        }
        contexts.append(model.context(num_atoms, given_counts, values))
    weights = torch.tensor([one.weight for one in chosen_passes], dtype=torch.double)

    size = len(atomic_numbers)
    drawn = Sequences(*(torch.zeros(size, 1, dtype=torch.long) for _ in range(2)))
    state = State(
        torch.zeros_like(num_atoms), num_atoms - given_counts.sum(dim=1), given_counts, by_place
    )
    states = [state]
    counts = torch.zeros(size, PLACES, dtype=torch.long)
    while bool((state.left > 0).any()):
        live = state.left > 0
        before = State.stack(states)
        hidden = [model(drawn, before, context)[:, -1] for context in contexts]
        logits = _guided([model.element_head(h) for h in hidden], weights)
        element = _choose(logits, state.element_choices(), live, generators, temperature)
        logits = _guided([model.count_logits(h, element) for h in hidden], weights)
        choices = state.count_choices(element, model.max_atoms)
        count = _choose(logits, choices, live, generators, temperature)
        rows = live.nonzero().flatten()
        counts[rows, element[rows]] = count[rows]
        state = state.after(element, count)
        states.append(state)
        drawn = Sequences(
            torch.cat([drawn.places, element.unsqueeze(1)], dim=1),
            torch.cat([drawn.counts, count.unsqueeze(1)], dim=1),
        )
    complete = torch.zeros_like(atomic_numbers)
    for row, number in zip(complete, counts, strict=True):
        numbers = element_at_place().repeat_interleave(number)
        row[: len(numbers)] = numbers
    return complete


def _guided(logits: Sequence[Tensor], weights: Tensor) -> Tensor:
    return torch.einsum("p,pbk->bk", weights, torch.stack(list(logits)).log_softmax(dim=-1))


def _choose(
    logits: Tensor,
    choices: Tensor,
    live: Tensor,
    generators: Sequence[np.random.Generator],
    temperature: float,
) -> Tensor:
    """Draw one of the choices (B, K) for each live row, 0 for the others."""
    scaled = logits / max(temperature, 1e-6)
    probability = scaled.masked_fill(~choices, -torch.inf).softmax(dim=-1)
    chosen = torch.zeros(len(logits), dtype=torch.long)
    for row in live.nonzero().flatten().tolist():
        cumulative = probability[row].cumsum(dim=0)
        target = generators[row].random() * float(cumulative[-1])
        # Rounding must not lead beyond the last choice that has any probability.
        last = int(choices[row].nonzero()[-1])
        chosen[row] = min(int((cumulative <= target).sum()), last)
    return chosen
