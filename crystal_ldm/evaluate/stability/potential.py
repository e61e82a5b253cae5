"""Machine-learned potentials whose weights come with their package, as ASE calculators."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from crystal_ldm.errors import EvaluationError, suggest
from crystal_ldm.evaluate.weights import load_weights
from crystal_ldm.evaluate.workers.packed import PackedCrystal

_CHGNET_FILE = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
_CHGNET_SHA256 = "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1"


@dataclass(frozen=True)
class Potential:
    """A potential.

    Attributes:
        name: short name, with the version of the weights.
        max_z: largest atomic number that it knows.
        load: returns an ASE calculator; called once in each worker process.
    """

    name: str
    max_z: int
    load: Callable[[], Any]


def _load_chgnet() -> Any:
    import torch

    torch.set_num_threads(1)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from chgnet.model import CHGNet
            from chgnet.model.dynamics import CHGNetCalculator
    except ImportError as error:
        raise EvaluationError(
            f"Stability needs the package 'chgnet' ({error}): pip install chgnet nvidia-ml-py3."
        ) from error
    state = load_weights("chgnet", _CHGNET_FILE, _CHGNET_SHA256)["model"]
    with contextlib.redirect_stdout(io.StringIO()):  # it announces its device
        model = CHGNet.from_dict(state, mlp_out_bias=False, version="0.3.0")
        return CHGNetCalculator(model=model, use_device="cpu", on_isolated_atoms="error")


POTENTIALS: dict[str, Potential] = {
    # Deng et al. 2023; trained on the Materials Project's corrected energies, Z up to 94.
    "chgnet": Potential("chgnet-0.3.0", 94, _load_chgnet),
}


def potential(name: str) -> Potential:
    """Return a potential by name.

    Raises:
        EvaluationError: if there is none of this name.
    """
    if name not in POTENTIALS:
        raise EvaluationError(
            f"There is no potential '{name}'; there is {', '.join(POTENTIALS)}."
            f"{suggest(name, POTENTIALS)}"
        )
    return POTENTIALS[name]


@lru_cache(maxsize=1)
def calculator(name: str) -> Any:
    """Return the calculator, loaded once in each process."""
    return potential(name).load()


def check_elements(crystal: PackedCrystal, name: str) -> None:
    """Refuse elements that the potential was never trained on.

    Raises:
        EvaluationError: naming them.
    """
    limit = potential(name).max_z
    unknown = sorted({int(z) for z in crystal.atomic_numbers if z > limit})
    if unknown:
        from pymatgen.core import Element

        symbols = ", ".join(Element.from_Z(z).symbol for z in unknown)
        raise EvaluationError(f"the potential {potential(name).name} does not know {symbols}")


def single_point(crystal: PackedCrystal, name: str = "chgnet") -> float:
    """Return the energy of a crystal as it is, eV/atom.

    Raises:
        EvaluationError: if the potential does not know an element.
    """
    from ase import Atoms

    check_elements(crystal, name)
    atoms = Atoms(
        numbers=crystal.atomic_numbers,
        cell=crystal.lattice,
        scaled_positions=crystal.frac_coords,
        pbc=True,
    )
    tool = calculator(name)
    tool.calculate(atoms, properties=["energy"], **({"task": "e"} if name == "chgnet" else {}))
    return float(tool.results["energy"]) / len(atoms)
