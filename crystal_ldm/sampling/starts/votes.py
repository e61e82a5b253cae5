"""Which prototype of a formula comes first: a vote of the nearest ones and of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import electronegativity_rank
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.crystals.same_crystal import Tolerances, rms_distance
from crystal_ldm.ldm_module.diffusion import ModelPrediction, get_sampler
from crystal_ldm.ldm_module.guidance import GuidedDenoiser
from crystal_ldm.random import crystal_generator

if TYPE_CHECKING:
    from crystal_ldm.crystals.prototype_search import Prototype
    from crystal_ldm.ldm_module import LDMModule

CANDIDATES = 6
"""The nearest prototypes, one of which is to come first."""
_WIDTH = 0.2
_TOLERANCES, _SAME = Tolerances(0.3, 0.5, 10.0), 0.3
_STEPS, _TEMPERATURE = 10, 1.5
"""Of the votes, chosen on the validation set of `mp_20`: the scale of distances between formulas;
within which tolerances and RMSE two crystals have one structure; how the model's crystals are made,
which is how 20 of them match most often."""


class Votes:
    """Puts the prototype first that the others and the model's own crystals resemble most.

    The six nearest prototypes share one vote, each exp(−distance / 0.2), and the model's crystals
    of the formula, which are made from noise, share another. The structure with most of both wins,
    and the nearest prototype that has it comes first. Each of the two is right for some of the
    formulas where the other is not.

    The model's crystals have random numbers of their own, in float32 and in a batch of their own,
    so that a formula's vote is the same in every request.

    Args:
        ldm: the model.
        count: how many crystals the model makes; 0: the nearest prototype comes first.
    """

    def __init__(self, ldm: LDMModule, count: int) -> None:
        self._ldm, self._count = ldm, count
        self._winners: dict[bytes, int] = {}

    def order(self, numbers: NDArray[np.int64], nearest: Sequence[Prototype]) -> list[Prototype]:
        """Return a formula's prototypes, given the nearest first, with the winner before them.

        Args:
            numbers: (n,) atomic numbers of its cell, all known.
            nearest: its prototypes.
        """
        prototypes = list(nearest)
        if not self._count or len(prototypes) < 2:
            return prototypes
        key = np.sort(numbers).tobytes()
        if key not in self._winners:
            self._winners[key] = self._winner(numbers, prototypes[:CANDIDATES])
        prototypes.insert(0, prototypes.pop(self._winners[key]))
        return prototypes

    def _winner(self, numbers: NDArray[np.int64], candidates: Sequence[Prototype]) -> int:
        search = self._ldm.training_crystals.search
        cells = [search.cell(prototype) for prototype in candidates]
        first: list[int] = []  # of each one's structure
        for i, cell in enumerate(cells):
            before = sorted(set(first))
            first.append(next((j for j in before if _same(cell, cells[j])), i))
        structures = sorted(set(first))
        if len(structures) == 1:
            return 0
        distances = np.array([prototype.distance for prototype in candidates])
        shares = np.exp(-(distances - distances[0]) / _WIDTH)
        votes = np.bincount(first, shares / shares.sum(), minlength=len(cells))
        for made in read_crystals(self._from_noise(numbers)).crystals:
            if made is not None:
                alike = (j for j in structures if _same(made, cells[j]))
                if (structure := next(alike, None)) is not None:
                    votes[structure] += 1 / self._count
        return int(votes.argmax())

    @torch.inference_mode()
    def _from_noise(self, numbers: NDArray[np.int64]) -> CrystalBatch:
        """Return the model's crystals of a formula, on the CPU."""
        ldm, diffusion = self._ldm, self._ldm.diffusion
        network, device = ldm.sampler_network, ldm.latent_mean.device
        assert network.composition is not None  # `Prototype.check` has seen to it
        ordered = numbers[np.argsort(electronegativity_rank()[numbers], kind="stable")]
        known = torch.from_numpy(ordered).repeat(self._count, 1)
        request = CrystalBatch(known, torch.full((self._count,), len(numbers))).to(device)
        model = GuidedDenoiser(
            network,
            request.atomic_numbers,
            network.encode(request),
            request.num_atoms,
            request.mask,
            [network.composition.name],
            [1.0],
        )

        def denoise(x: Tensor, t: int) -> ModelPrediction:
            return diffusion.predict(model(x, t).float(), x, t)

        def noise(x: Tensor) -> Tensor:
            shape = len(numbers), ldm.vae.latent_dim
            generators = [crystal_generator(0, number) for number in range(self._count)]
            drawn = [g.standard_normal(shape, dtype=np.float32) for g in generators]
            return _TEMPERATURE * torch.from_numpy(np.stack(drawn)).to(x)

        timesteps = diffusion.sampling_timesteps(min(_STEPS, diffusion.timesteps))
        start = noise(torch.zeros((), device=device))
        run = get_sampler("ddim")
        x = run(denoise, start, diffusion, timesteps, noise=noise, eta=0.0, callback=None)
        latents = ldm.vae_latents(x)
        return ldm.vae.decode(latents, request.num_atoms, request.atomic_numbers).to("cpu")


def _same(first: Cell, second: Cell) -> bool:
    distance = rms_distance((first, second), _TOLERANCES)
    return distance is not None and distance < _SAME
