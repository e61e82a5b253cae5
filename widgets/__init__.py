"""The workbench's panels: each is one class, usable alone in a notebook in one line.

Names are resolved on first use, so that importing one panel does not load all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "CrystalViewer": "widgets.viewers.viewer",
    "TrajectoryPlayer": "widgets.viewers.trajectory",
    "PeriodicTable": "widgets.controls.periodic_table",
    "FormulaBox": "widgets.controls.formula",
    "ScalarControl": "widgets.controls.scalar",
    "ConditionControls": "widgets.controls.conditions",
    "GuidanceControls": "widgets.controls.guidance",
    "AdvancedControls": "widgets.controls.advanced",
    "SeedControl": "widgets.controls.seed",
    "RequestForm": "widgets.controls.form",
    "ModelPicker": "widgets.panels.models",
    "GeneratePanel": "widgets.panels.generate",
    "FilesPanel": "widgets.panels.files",
    "TrainingMonitor": "widgets.panels.training",
    "VaryPanel": "widgets.explore.vary",
    "GridPanel": "widgets.explore.grid",
    "LatentMap": "widgets.explore.latent_map",
    "NearestKnown": "widgets.explore.known",
    "Workbench": "widgets.workbench",
    "Gallery": "widgets.panels.gallery",
    "Compare": "widgets.panels.compare",
    "crystal_figure": "widgets.viewers.plotly_crystal",
    "flat_crystal_figure": "widgets.viewers.plotly_crystal",
    "trajectory_figure": "widgets.viewers.plotly_trajectory",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'widgets' has no attribute '{name}'")
