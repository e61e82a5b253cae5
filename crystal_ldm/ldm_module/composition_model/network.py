"""The network behind the elements of open atoms."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from crystal_ldm.config.numbers import Count, Positive, Share
from crystal_ldm.ldm_module.composition_model.sequences import PLACES, Sequences, State
from crystal_ldm.ldm_module.condition import Condition
from crystal_ldm.nn.layers import MLP, TransformerBlock


class CompositionModel(nn.Module):
    """Autoregressive model of compositions, p(composition | number of atoms, conditions, given).

    A crystal's composition is drawn before its latents: element by element in order of
    electronegativity, and of each how many atoms, p = Π p(element_i | …) p(count_i | element_i, …)
    with a causal transformer (Vaswani et al. 2017) over the pairs so far. Part of the composition
    may be given (`Sr?O3`). What cannot be completed has no probability, in training as in drawing.

    Args:
        hidden_size, depth, num_heads, mlp_ratio: size of the transformer.
        dropout: share of values dropped in training, of the input and of each block's output.
        max_atoms: most atoms in a cell.
        epochs: most passes over the training set; the best weights on the validation set are kept.
        learning_rate: the largest one.
    """

    def __init__(
        self,
        hidden_size: Count = 128,
        depth: Count = 4,
        num_heads: Count = 4,
        mlp_ratio: Positive = 4.0,
        dropout: Share = 0.15,
        max_atoms: Count = 20,
        epochs: Count = 30,
        learning_rate: Positive = 1.5e-3,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.max_atoms = max_atoms
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.element = nn.Embedding(PLACES, hidden_size)
        self.chosen = nn.Embedding(PLACES, hidden_size)
        self.count, self.left, self.spare, self.total = (
            nn.Embedding(max_atoms + 1, hidden_size) for _ in range(4)
        )
        self.place = nn.Embedding(max_atoms + 1, hidden_size)
        for table in self.children():
            nn.init.normal_(table.weight, std=0.2)  # type: ignore[arg-type]
        self.given = nn.Linear(2 * PLACES, hidden_size, bias=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(hidden_size, num_heads, mlp_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.element_head = nn.Linear(hidden_size, PLACES)
        self.count_head = nn.Sequential(
            MLP(hidden_size, 1.0), nn.Linear(hidden_size, max_atoms + 1)
        )
        self.conditions = nn.ModuleDict()

    def build(self, conditions: Mapping[str, Condition]) -> None:
        """Make embeddings of its own for the conditions on the whole crystal."""
        for name, condition in conditions.items():
            own = copy.deepcopy(condition)
            own.build(name, self.hidden_size)
            self.conditions[name] = own
        self.take_data(conditions)

    def freeze_all_but(self, names: Collection[str]) -> None:
        """Let training change the embeddings of the conditions `names` alone, and no null one."""
        self.requires_grad_(False)
        for name in names:
            self.conditions[name].requires_grad_(True)
            self.properties[name].null.requires_grad_(False)

    @property
    def properties(self) -> dict[str, Condition]:
        """Its own conditions on the whole crystal, by name."""
        return dict(self.conditions.items())  # type: ignore[arg-type]

    def take_data(self, conditions: Mapping[str, Condition]) -> None:
        """Note what the training set's values are like, as the denoiser's conditions do."""
        for name, condition in conditions.items():
            known = dict(self.conditions[name].named_buffers())
            for key, value in condition.named_buffers():
                known[key].copy_(value)

    def context(self, num_atoms: Tensor, given: Tensor, encoded: Mapping[str, Tensor]) -> Tensor:
        """Return what a composition depends on, as vectors (B, H).

        Args:
            num_atoms: (B,).
            given: (B, 119) atoms that are given, by place.
            encoded: encoded conditions by name.
        """
        flags = torch.cat([given / self.max_atoms, (given > 0).to(given)], dim=1)
        vector = self.total(num_atoms) + self.given(flags.to(self.given.weight))
        for name, condition in self.conditions.items():
            vector = vector + condition(encoded[name].to(vector.dtype))
        return vector

    def forward(
        self,
        sequences: Sequences,
        states: State,
        context: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return hidden vectors (B, M, H) before each of M pairs.

        Args:
            sequences: the pairs before each of them, (B, M): shifted by one, the first ones 0.
            states: where the sequences stand before each of them, (B, M).
            context: (B, H).
            generator: draws dropout; None: there is none.
        """
        x = self.element(sequences.places) + self.count(sequences.counts)
        x = x + self.left(states.left) + self.spare(states.spare)
        x = x + self.place.weight[: x.shape[1]] + context.unsqueeze(1)
        x = self._drop(x, generator)
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()[None, None]
        for block in self.blocks:
            x = x + self._drop(block(x, causal) - x, generator)
        return self.norm(x)

    def count_logits(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        """Return (…, max_atoms + 1) for hidden vectors (…, H) and chosen elements (…,)."""
        return self.count_head(hidden + self.chosen(chosen))

    def _drop(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if generator is None or self.dropout == 0:
            return x
        kept = torch.rand(x.shape, generator=generator) >= self.dropout
        return x * kept / (1 - self.dropout)
