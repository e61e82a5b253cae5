"""`torch.compile`, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


def compile_blocks(module: nn.Module, backend: str = "inductor") -> None:
    """Have `torch.compile` fuse each transformer block when it is first used.

    Blocks of one shape share the compiled code, which takes some ten seconds, in training half a
    minute; whole networks took more than eight minutes.
    """
    for block in _blocks(module):
        block.compile(dynamic=True, backend=backend)


@contextmanager
def compiled(module: nn.Module, wanted: bool, backend: str = "inductor") -> Iterator[None]:
    """Run transformer blocks compiled within this context, if that is wanted."""
    blocks = _blocks(module) if wanted else []
    before = [block._compiled_call_impl for block in blocks]
    if wanted:
        compile_blocks(module, backend)
    try:
        yield
    finally:
        for block, call in zip(blocks, before, strict=True):
            block._compiled_call_impl = call


def _blocks(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if getattr(m, "compiles_alone", False)]
