"""The denoiser together with the embeddings of its conditions: what the EMA averages."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import ConfigError
from crystal_ldm.ldm_module.condition import Composition, Condition
from crystal_ldm.ldm_module.condition.base import leave_out, values_of
from crystal_ldm.ldm_module.denoisers import DiT

Embedded = tuple[Tensor, Tensor | None] | tuple[Tensor, Tensor | None, Tensor]
"""Token condition (B, N, H) and vector condition (B, H) of a batch, or (U, H) and its rows (B,)."""


class ConditionedDenoiser(nn.Module):
    """A denoiser and its conditions.

    Args:
        denoiser: the network.
        conditions: by name, in the order in which guidance adds them.
    """

    def __init__(self, denoiser: DiT, conditions: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.conditions = nn.ModuleDict()
        for name, condition in conditions.items():
            self.add_condition(name, condition)

    def add_condition(self, name: str, condition: nn.Module) -> None:
        """Take a condition, whose layers are made here.

        Raises:
            ConfigError: for a name that PyTorch has for something else.
        """
        if name not in self.conditions and hasattr(self.conditions, name):
            raise ConfigError(f"A condition cannot be called '{name}': give it another name.")
        size = self.denoiser.hidden_size
        if isinstance(condition, Condition):
            condition.build(name, size, self.denoiser.modulation_size)
        else:
            condition.build(name, size)  # type: ignore[operator]
        self.conditions[name] = condition

    @property
    def composition(self) -> Composition | None:
        """The condition on elements, where the model has it."""
        for condition in self.conditions.values():
            if isinstance(condition, Composition):
                return condition
        return None

    @property
    def properties(self) -> dict[str, Condition]:
        """The conditions on the whole crystal, by name."""
        return {n: c for n, c in self.conditions.items() if isinstance(c, Condition)}

    def set_data(self, crystals: CrystalBatch, names: Collection[str] | None = None) -> None:
        """Let each condition, or those called `names`, see the training set's values.

        Raises:
            DataError: if a label is missing or cannot be used.
        """
        for name, condition in self.properties.items():
            if names is None or name in names:
                condition.set_data(values_of(condition, crystals))

    def extend_data(self, crystals: CrystalBatch, new: Collection[str] = ()) -> None:
        """Let each condition see the values of a further training set; `new` ones see the first."""
        self.set_data(crystals, new)
        for name, condition in self.properties.items():
            if name not in new:
                values = condition.values_of(crystals)
                condition.extend_data([] if values is None else values)

    def encode(self, crystals: CrystalBatch, labels: bool = False) -> dict[str, Tensor]:
        """Return encoded values (B, F) of the conditions on the whole crystal; missing ones null.

        With `labels` values are a data set's: looked up by the label's name instead of the
        condition's, and missing where the training set knows nothing like them.
        """
        encoded = {}
        for name, condition in self.properties.items():
            values = condition.values_of(crystals) if labels else crystals.conditions.get(name)
            if values is None:
                encoded[name] = condition.null_encoding(len(crystals))
            elif labels:
                encoded[name] = condition.encode(condition.known(values))
            else:
                encoded[name] = condition.calibrated(condition.encode(values))
        return encoded

    def embed(
        self, atomic_numbers: Tensor, encoded: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Return the embeddings of known elements (B, N; 0: open) and encoded conditions.

        The latter are the sum over conditions; one that was added later is wider (see
        `Condition.forward`).
        """
        if self.composition is not None:
            tokens = self.composition(atomic_numbers)
        else:
            tokens = torch.zeros(1, 1, self.denoiser.hidden_size, device=atomic_numbers.device)
        vectors = [condition(encoded[name]) for name, condition in self.properties.items()]
        width = max((vector.shape[1] for vector in vectors), default=0)
        vectors = [F.pad(v, (0, width - v.shape[1])) if v.shape[1] < width else v for v in vectors]
        return tokens, torch.stack(vectors).sum(dim=0) if vectors else None

    def drop(
        self,
        atomic_numbers: Tensor,
        encoded: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Leave out conditions for a training step, each on its own for each crystal."""
        if self.composition is not None:
            atomic_numbers = self.composition.drop(atomic_numbers, generator)
        return atomic_numbers, leave_out(self.properties, encoded, generator)

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        num_atoms: Tensor,
        mask: Tensor | None,
        embedded: Embedded,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Return the denoiser's prediction for noisy latents x (B, N, D); `keep` is its dropout."""
        return self.denoiser(x, timestep, num_atoms, mask, *embedded, keep=keep)
