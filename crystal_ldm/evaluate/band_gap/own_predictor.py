"""The project's own band gap predictors, of two kinds whose errors differ.

A small ensemble of perceptrons on hand-made features, and one of graph networks. Both are trained
on the training set of `oqmd_icsd` (PBE gaps) by `python -m benchmarks.band_gap_predictors`;
the held-out errors are in the weights files and returned by `predictor_card`.

Two kinds, because of the crystals that both see near a target 88 % are so, of those that one does
67 % (test set, within 0.3 and 0.5 eV; `benchmarks/model_log.md`): see the filter `BandGapWithin`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.band_gap.features import CrystalGraph, band_gap_inputs
from crystal_ldm.evaluate.band_gap.networks import BandGapNet, GraphNet, final_gap

if TYPE_CHECKING:
    from crystal_ldm.crystals import CrystalBatch

WEIGHTS = Path(__file__).parent / "weights"
Inputs = tuple[NDArray[np.float32], CrystalGraph]
PERCEPTRONS, GRAPH = WEIGHTS / "band_gap.safetensors", WEIGHTS / "band_gap_graph.safetensors"


def predict_band_gap(crystal: Cell) -> tuple[float, float]:
    """Return the band gap in eV as if not metallic, and the probability of being a metal.

    Raises:
        ValueError: if the atoms are too crowded to have neighbours.
        EvaluationError: if the weights are missing or broken.
    """
    gap, metal = together(_predict([band_gap_inputs(crystal)]))
    return float(gap), float(metal)


def predict_band_gaps_by_kind(crystals: CrystalBatch) -> NDArray[np.float64]:
    """Return band gaps by the perceptrons and by the graph networks, (2, B) in eV.

    0 for likely metals, nan where there is none to predict. In this process and all at once, for
    crystals that are being made; many finished ones go sooner through `estimate_band_gaps`, in
    processes of their own.

    Raises:
        EvaluationError: if the weights are missing or broken.
    """
    inputs, rows = [], []
    for i, crystal in enumerate(read_crystals(crystals, allow_empty=True).crystals):
        with contextlib.suppress(ValueError):  # no neighbours
            if crystal is not None:
                inputs.append(band_gap_inputs(crystal))
                rows.append(i)
    gaps = np.full((2, len(crystals)), np.nan)
    if rows:
        gaps[:, rows] = torch.stack([final_gap(*kind) for kind in _predict(inputs)]).numpy()
    return gaps


def together(kinds: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the mean over kinds of gaps in eV and of probabilities of a metal, both (B,)."""
    gaps, metal = zip(*kinds, strict=True)
    return torch.stack(gaps).mean(dim=0), torch.stack(metal).mean(dim=0)


def predictor_card() -> dict[str, Any]:
    """Return what is known of the predictors: data, held-out errors of both together and of each.

    Raises:
        EvaluationError: if the weights are missing or broken.
    """
    perceptrons, graph = load_net(PERCEPTRONS)[1], load_net(GRAPH)[1]
    return {
        "data": graph["data"],
        "data_hash": graph["data_hash"],
        **graph["together"],
        "perceptrons": perceptrons,
        "graph": graph,
    }


@lru_cache(maxsize=2)
def load_net(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the networks of a weights file, `PERCEPTRONS` or `GRAPH`, and their card.

    Raises:
        EvaluationError: if the weights are missing or broken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            card: dict[str, Any] = json.loads(file.metadata()["card"])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        shape = {name: card[name] for name in ("members", "width", "layers") if name in card}
        net = (GraphNet if "layers" in card else BandGapNet)(**shape)
        net.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise EvaluationError(
            f"The weights of the band gap predictor ('{path.name}') are missing or broken; make "
            "them with: python -m benchmarks.band_gap_predictors (in a clone), or install "
            "crystal-ldm again"
        ) from error
    return net.eval(), card


def _predict(inputs: Sequence[Inputs]) -> list[tuple[Tensor, Tensor]]:
    """Return each kind's gaps in eV as if not metallic and probabilities of a metal, all (B,)."""
    perceptrons, graph = load_net(PERCEPTRONS)[0], load_net(GRAPH)[0]
    with torch.no_grad():
        first = perceptrons.predict(torch.from_numpy(np.stack([f for f, _ in inputs])))
    return [first, graph.predict_many([g for _, g in inputs])]
