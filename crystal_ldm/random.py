"""Random numbers from explicit seeds. Nothing in the library reads or sets a global state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

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


def torch_generator(seed: int, *path: int) -> torch.Generator:
    """Return a torch CPU generator that depends on `seed` and `path` alone (for training)."""
    return torch.Generator().manual_seed(int(_sequence(seed, path).generate_state(1, np.uint32)[0]))
