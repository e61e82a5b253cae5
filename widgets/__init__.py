"""The workbench's panels: each is one class, usable alone in a notebook in one line.

Names are resolved on first use, so that importing one panel does not load all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "CrystalViewer": "crystal_ldm.widgets.viewers.viewer",
    "TrajectoryPlayer": "crystal_ldm.widgets.viewers.trajectory",
    "PeriodicTable": "crystal_ldm.widgets.controls.periodic_table",
    "FormulaBox": "crystal_ldm.widgets.controls.formula",
    "ScalarControl": "crystal_ldm.widgets.controls.scalar",
    "ConditionControls": "crystal_ldm.widgets.controls.conditions",
    "GuidanceControls": "crystal_ldm.widgets.controls.guidance",
    "SamplingControls": "crystal_ldm.widgets.controls.sampling",
    "SeedControl": "crystal_ldm.widgets.controls.seed",
    "RequestForm": "crystal_ldm.widgets.controls.form",
    "ModelPicker": "crystal_ldm.widgets.panels.models",
    "GeneratePanel": "crystal_ldm.widgets.panels.generate",
    "FilesPanel": "crystal_ldm.widgets.panels.files",
    "TrainingMonitor": "crystal_ldm.widgets.panels.training",
    "VaryPanel": "crystal_ldm.widgets.explore.vary",
    "HostPanel": "crystal_ldm.widgets.explore.host",
    "FindPanel": "crystal_ldm.widgets.explore.find",
    "GridPanel": "crystal_ldm.widgets.explore.grid",
    "LatentMap": "crystal_ldm.widgets.explore.latent_map",
    "NearestInTraining": "crystal_ldm.widgets.explore.nearest_in_training",
    "Workbench": "crystal_ldm.widgets.workbench",
    "PowderPanel": "crystal_ldm.widgets.panels.powder",
    "SymmetryPanel": "crystal_ldm.widgets.panels.symmetry",
    "Gallery": "crystal_ldm.widgets.panels.gallery",
    "Compare": "crystal_ldm.widgets.panels.compare",
    "crystal_figure": "crystal_ldm.widgets.viewers.plotly_crystal",
    "flat_crystal_figure": "crystal_ldm.widgets.viewers.plotly_flat",
    "trajectory_figure": "crystal_ldm.widgets.viewers.plotly_trajectory",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'widgets' has no attribute '{name}'")
