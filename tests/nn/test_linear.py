"""The quicker product gives the same numbers, and is left out where it does not apply."""

from __future__ import annotations

import pytest
import torch

from crystal_ldm.nn import linear
from crystal_ldm.nn.linear import Linear, onednn_product


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (5, 24), (3, 7, 24), (640, 24)])
def test_it_is_a_linear_layer(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = Linear(24, 40, bias=bias), torch.randn(shape)
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.equal(layer(x), expected)  # with gradients it is nn.Linear
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert torch.allclose(layer(x), expected, atol=1e-5)
            turned = x.transpose(0, -1).contiguous().transpose(0, -1)  # the same, not contiguous
            assert torch.allclose(layer(turned), expected, atol=1e-5)
            rows = layer(x.expand(4, *shape))  # memory read four times
            assert torch.allclose(rows, expected.expand_as(rows), atol=1e-5)


def test_other_numbers_and_empty_batches_go_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "onednn_product", lambda: lambda *_: pytest.fail("it was used"))
    layer = Linear(8, 4)
    assert layer(torch.ones(2, 8)).requires_grad
    with torch.inference_mode():
        assert layer(torch.ones(0, 8)).shape == (0, 4)
        assert layer.double()(torch.ones(2, 8).double()).dtype == torch.float64
        layer.float()
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(torch.ones(2, 8)).dtype == torch.bfloat16


def test_without_the_operator_it_goes_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = Linear(8, 4), torch.randn(3, 8)
    monkeypatch.setattr(linear.platform, "machine", lambda: "arm64")
    onednn_product.cache_clear()
    try:
        assert onednn_product() is None
        with torch.inference_mode():
            assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    finally:
        onednn_product.cache_clear()
