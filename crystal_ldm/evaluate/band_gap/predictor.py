"""The project's own band gap predictor: a small ensemble of perceptrons on hand-made features.

It is trained on the train part of `oqmd_icsd` (PBE gaps) by
`python -m crystal_ldm.evaluate.band_gap.training`; the held-out errors are in its weights file and
returned by `predictor_card`.
"""

from __future__ import annotations

import contextlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.band_gap.features import NUM_FEATURES, band_gap_features
from crystal_ldm.evaluate.inputs import read_crystals
from crystal_ldm.evaluate.workers.packed import PackedCrystal

if TYPE_CHECKING:
    from crystal_ldm.crystals import CrystalBatch

METAL_PROBABILITY = 0.5
"""From this probability on a crystal counts as a metal, with a gap of 0."""

WEIGHTS = Path(__file__).parent / "weights" / "band_gap.safetensors"


class BandGapNet(nn.Module):
    """An ensemble; each member gives a metal logit and a gap.

    Args:
        members: number of perceptrons.
        width: hidden units.
        dropout: while training.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, members: int = 4, width: int = 192, dropout: float = 0.2) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(NUM_FEATURES, width),
                nn.SiLU(),
                nn.Dropout(dropout),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Dropout(dropout),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Linear(width, 2),
            )
            for _ in range(members)
        )
        self.register_buffer("mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("spread", torch.ones(NUM_FEATURES))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return metal logits and gaps in eV of each member, both (members, B)."""
        # Far outside the training data a perceptron extrapolates wildly.
        scaled = ((features - self.mean) / self.spread).clamp(-6, 6)
        out = torch.stack([member(scaled) for member in self.members])
        return out[..., 0], nn.functional.softplus(out[..., 1])

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gap in eV as if not metallic and the probability of a metal, both (B,)."""
        logits, gaps = self(features)
        return gaps.mean(dim=0), torch.sigmoid(logits).mean(dim=0)


def predict_band_gap(crystal: PackedCrystal) -> tuple[float, float]:
    """Return the band gap in eV as if not metallic, and the probability of being a metal.

    Raises:
        ValueError: if the atoms are too crowded to have neighbours.
        EvaluationError: if the weights are missing or broken.
    """
    net, _ = _load()
    features = torch.from_numpy(band_gap_features(crystal))[None]
    with torch.no_grad():
        gap, metal = net.predict(features)
    return float(gap), float(metal)


def predict_band_gaps(crystals: CrystalBatch) -> NDArray[np.float64]:
    """Return band gaps (B,) in eV: 0 for likely metals, nan where there is none to predict.

    In this process and all at once, for crystals that are being made; many finished ones are
    judged sooner by `judge_band_gaps`, in processes of their own.

    Raises:
        EvaluationError: if the weights are missing or broken.
    """
    net, _ = _load()
    features, rows = [], []
    for i, packed in enumerate(read_crystals(crystals, allow_empty=True).crystals):
        with contextlib.suppress(ValueError):  # no neighbours
            if packed is not None:
                features.append(band_gap_features(packed))
                rows.append(i)
    gaps = np.full(len(crystals), np.nan)
    if rows:
        with torch.no_grad():
            gap, metal = net.predict(torch.from_numpy(np.stack(features)))
        gaps[rows] = torch.where(metal >= METAL_PROBABILITY, 0.0, gap).numpy()
    return gaps


def predictor_card() -> dict[str, Any]:
    """Return what is known of the predictor: data, held-out errors, versions."""
    return dict(_load()[1])


@lru_cache(maxsize=1)
def _load() -> tuple[BandGapNet, dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(WEIGHTS, "pt") as file:
            card: dict[str, Any] = json.loads(file.metadata()["card"])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        net = BandGapNet(card["members"], card["width"])
        net.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise EvaluationError(
            f"The weights of the band gap predictor ('{WEIGHTS.name}') are missing or broken; make "
            "them with: python -m crystal_ldm.evaluate.band_gap.training"
        ) from error
    return net.eval(), card
