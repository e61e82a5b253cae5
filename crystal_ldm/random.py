"""Random numbers from explicit seeds. Nothing in the library reads or sets a global state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crystal_ldm.errors import RequestError


def _sequence(seed: Any, path: tuple[int, ...]) -> np.random.SeedSequence:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise RequestError(f"The seed must be a whole number of at least 0, not {seed!r}.")
    return np.random.SeedSequence((int(seed), *path))


def crystal_generator(seed: int, *path: int) -> np.random.Generator:
    """Return a generator that depends on `seed` and `path` alone.

    The path names what the numbers are for, e.g. `crystal_generator(seed, row, number)` for one
    crystal: different paths give independent streams, so a crystal's noise does not depend on which
    other crystals are made beside it. numpy's PCG64 keeps all 128 bits of the sequence; torch's CPU
    generator would keep 32, and a million crystals would share noise.

    Raises:
        RequestError: if the seed is not a whole number of at least 0.
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, path)))


def torch_generator(seed: int, *path: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator that depends on `seed` and `path` alone (for training).

    On a GPU it draws other numbers than on a CPU, without a wait for either.
    """
    state = int(_sequence(seed, path).generate_state(1, np.uint32)[0])
    return torch.Generator(device).manual_seed(state)


def uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw uniform numbers from 0 to 1 where the generator is."""
    return torch.rand(shape, generator=generator, device=generator.device)


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers where the generator is."""
    return torch.randn(shape, generator=generator, device=generator.device)
