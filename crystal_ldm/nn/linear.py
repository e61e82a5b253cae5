"""Linear layers that take the quicker of PyTorch's two CPU libraries."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """`nn.Linear`, by oneDNN where a float32 product on an x86 CPU needs no gradient.

    There PyTorch takes MKL, which leaves AMD's AVX-512 unused: oneDNN is up to 2.3 times as fast on
    such a CPU and 1.1 times on one with AVX2 (benchmarks/README.md). Results agree to rounding.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        if _by_onednn(input):
            product = onednn_product()
            if product is not None:
                return product(input.contiguous(), self.weight, self.bias)
        return super().forward(input)


def _by_onednn(x: Tensor) -> bool:
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


@functools.cache
def onednn_product() -> Callable[[Tensor, Tensor, Tensor | None], Tensor] | None:
    """Return oneDNN's counterpart of `F.linear`; None where this PyTorch has none that works.

    The operator is one that `torch.compile` uses and no public one: it is tried once.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    if not torch.backends.mkldnn.is_available():
        return None

    def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    try:
        product(torch.ones(2, 3, 4), torch.ones(5, 4), torch.ones(5))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return product
