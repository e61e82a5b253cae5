"""From a request to crystals: presets, and six ideas below them.

Solver, guidance, start, elements, filters and compute are small checked objects; `options()` lists
every setting with its type, bounds, unit and help. `LDMModule.sample` hands itself to this package.
"""

from crystal_ldm.ldm_module.diffusion import SamplerStep, StopSampling
from crystal_ldm.sampling.compute import Compute
from crystal_ldm.sampling.elements import Elements
from crystal_ldm.sampling.filters import (
    BandGapWithin,
    Filter,
    HasSpaceGroup,
    MinDistance,
    NotInTraining,
    NumElements,
)
from crystal_ldm.sampling.guidance import Guidance
from crystal_ldm.sampling.presets import DEFAULT_PRESET, Preset, presets
from crystal_ldm.sampling.result import SampleResult, TrajectoryFrame
from crystal_ldm.sampling.schema import Option, Settings, option
from crystal_ldm.sampling.settings import SamplingSettings, keyword_call, options
from crystal_ldm.sampling.solver import Solver
from crystal_ldm.sampling.starts import Crystal, Host, Noise, Prototype, Start

__all__ = [
    "DEFAULT_PRESET",
    "BandGapWithin",
    "Compute",
    "Crystal",
    "Elements",
    "Filter",
    "Guidance",
    "HasSpaceGroup",
    "Host",
    "MinDistance",
    "Noise",
    "NotInTraining",
    "NumElements",
    "Option",
    "Preset",
    "Prototype",
    "SampleResult",
    "SamplerStep",
    "SamplingSettings",
    "Settings",
    "Solver",
    "Start",
    "StopSampling",
    "TrajectoryFrame",
    "keyword_call",
    "option",
    "options",
    "presets",
]
