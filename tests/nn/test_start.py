"""A fresh process is quick to its first crystal: what takes seconds to import is not needed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

NOT_NEEDED = (
    "pytorch_lightning",
    "torchmetrics",
    "torch._dynamo",
    "sympy",
    "distributed",
    "plotly",
)


@pytest.mark.slow
def test_a_first_crystal_needs_no_lightning_and_no_compiler(
    python: Callable[..., subprocess.Popen[str]],
) -> None:
    code = f"""
        import sys
        import crystal_ldm
        from crystal_ldm.crystals import CrystalBatch
        ldm = crystal_ldm.load_pretrained()
        request = CrystalBatch.from_formulas(["NaCl"], band_gap=[5.0])
        print(len(ldm.sample(request, sampling_steps=1).to_structures()))
        print([name for name in {NOT_NEEDED!r} if name in sys.modules])
    """
    output, errors = python(code).communicate()
    assert output.splitlines() == ["1", "[]"], errors
