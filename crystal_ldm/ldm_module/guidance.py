"""Classifier-free guidance with one scale for each condition (Ho & Salimans 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crystal_ldm.errors import RequestError, suggest
from crystal_ldm.ldm_module.network import ConditionedDenoiser, Embedded

Scales = float | Mapping[str, float]
DEFAULT_SCALE = 2.0


@dataclass(frozen=True)
class Pass:
    """One evaluation of the network: the first `kept` of the given conditions, times `weight`."""

    kept: int
    weight: float


def scale_of_each(scales: Scales, names: Sequence[str]) -> dict[str, float]:
    """Return the guidance scale of each condition in `names`.

    Raises:
        RequestError: for a name that the model does not have.
    """
    if not isinstance(scales, Mapping):
        scales = dict.fromkeys(names, scales)
    for name in scales:
        if name not in names:
            raise RequestError(
                f"cfg_scale names the condition '{name}', which this model does not have."
                f"{suggest(name, names)} It has: {', '.join(names) or 'none'}."
            )
    return {name: float(scales.get(name, DEFAULT_SCALE)) for name in names}


def passes(scales: Sequence[float]) -> list[Pass]:
    """Return the evaluations whose weighted sum is the guided prediction.

    With conditions c1, c2, … and scales w1, w2, … the prediction is

        e(∅) + w1 [e(c1) − e(∅)] + w2 [e(c1, c2) − e(c1)] + …,

    so that e(c1 … ck) has the weight w_k − w_{k+1} (w_0 = 1, the last one 0). All scales 1 leave
    the conditional model alone, all 0 the unconditional one; what has no weight is not evaluated.
    """
    bounded = [1.0, *scales, 0.0]
    weights = [bounded[k] - bounded[k + 1] for k in range(len(scales) + 1)]
    return [Pass(k, w) for k, w in enumerate(weights) if w != 0]


class GuidedDenoiser:
    """A network with everything but x and t filled in: conditions are embedded once.

    Args:
        network: denoiser and conditions.
        atomic_numbers: (B, N), requested elements; 0: open.
        encoded: encoded conditions by name.
        num_atoms: (B,).
        mask: (B, N).
        given: names of the conditions that the request gives, in the order of guidance.
        scales: guidance scale of each of them.
    """

    def __init__(
        self,
        network: ConditionedDenoiser,
        atomic_numbers: Tensor,
        encoded: Mapping[str, Tensor],
        num_atoms: Tensor,
        mask: Tensor,
        given: Sequence[str],
        scales: Sequence[float],
    ) -> None:
        self.network = network
        self.num_atoms = num_atoms
        self.mask = None if bool(mask.all()) else mask
        self._request = (atomic_numbers, encoded, list(given))
        self._guided = self._prepare(passes(scales))
        plain = passes([1.0] * len(given))
        self._plain = self._guided if plain == passes(scales) else self._prepare(plain)

    def __call__(self, x: Tensor, t: int, guided: bool = True) -> Tensor:
        """Return the guided prediction at timestep t, or the conditional one without guidance."""
        weights, embedded = self._guided if guided else self._plain
        copies = len(weights)
        timestep = torch.full((1,), t, device=x.device)
        output = self.network(
            x.repeat(copies, 1, 1),
            timestep,
            self.num_atoms.repeat(copies),
            None if self.mask is None else self.mask.repeat(copies, 1),
            embedded,
        )
        if copies == 1 and weights[0] == 1:
            return output
        outputs = output.float().unflatten(0, (copies, -1))
        guided_output = torch.einsum("p,pbnd->bnd", torch.tensor(weights, device=x.device), outputs)
        # A learned variance, behind the prediction, is that of the most conditions.
        guided_output[..., x.shape[-1] :] = outputs[-1, ..., x.shape[-1] :]
        return guided_output

    def _prepare(self, chosen: Sequence[Pass]) -> tuple[list[float], Embedded]:
        atomic_numbers, encoded, condition_names = self._request
        tokens, vectors = [], []
        for one in chosen:
            kept = set(condition_names[: one.kept])
            composition = self.network.composition
            with_elements = composition is not None and composition.name in kept
            known = atomic_numbers if with_elements else torch.zeros_like(atomic_numbers)
            values = {
                n: e if n in kept else torch.full_like(e, torch.nan) for n, e in encoded.items()
            }
            token, vector = self.network.embed(known, values)
            tokens.append(token.expand(len(atomic_numbers), atomic_numbers.shape[1], -1))
            if vector is not None:
                vectors.append(vector)
        token = torch.cat(tokens)
        vector, rows = None, torch.zeros(len(token), dtype=torch.long, device=token.device)
        if vectors:  # many crystals of one request share their conditions: see DiT.forward
            vector, rows = torch.cat(vectors).unique(dim=0, return_inverse=True)
        return [one.weight for one in chosen], (token, vector, rows)
