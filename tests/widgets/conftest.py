"""What several tests of the panels need."""

from __future__ import annotations

from typing import Any

import pytest
from crystal_ldm.widgets import Workbench

from crystal_ldm.runs.generate import make_request

QUICK = {"sampling_steps": 2}


@pytest.fixture
def bench(tiny_ldm: Any) -> Workbench:
    result = tiny_ldm.sample(make_request("SrTiO3", conditions={"band_gap": 2.3}), 3, **QUICK)
    return Workbench(tiny_ldm, result=result)
