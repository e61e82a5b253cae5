"""The number type in which models are built and sampled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def float32_default() -> Iterator[None]:
    """Make new tensors float32, as the weights of all models are, whatever the user's default is.

    Also a decorator. The default belongs to the whole process, so it is put back at the end.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
