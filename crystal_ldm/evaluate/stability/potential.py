"""Machine-learned potentials whose weights come with their package, as ASE calculators."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.errors import EvaluationError, no_such
from crystal_ldm.evaluate.weights import load_weights, read_known_file

_CHGNET_FILE = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
_CHGNET_SHA256 = "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1"


_SEVENNET_FILE = "pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"
_SEVENNET_SHA256 = "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36"


@dataclass(frozen=True)
class Potential:
    """A potential.

    Attributes:
        name: short name, with the version of the weights.
        elements: atomic numbers that it knows.
        load: returns an ASE calculator; called once in each worker process.
    """

    name: str
    elements: frozenset[int]
    load: Callable[[], Any]


def _load_chgnet() -> Any:
    import torch

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):  # it announces its device
        from chgnet.model import CHGNet
        from chgnet.model.dynamics import CHGNetCalculator

        state = load_weights("chgnet", _CHGNET_FILE, _CHGNET_SHA256)["model"]
        model = CHGNet.from_dict(state, mlp_out_bias=False, version="0.3.0")
        return CHGNetCalculator(model=model, use_device="cpu", on_isolated_atoms="error")


def _load_sevennet() -> Any:
    import torch

    torch.set_num_threads(1)
    try:
        from sevenn.calculator import SevenNetCalculator
    except ImportError as error:
        raise EvaluationError(
            "The potential 'sevennet' needs the optional package 'sevenn' "
            f"({error}): pip install 'crystal-ldm[sevenn]'."
        ) from error
    content = read_known_file("sevenn", _SEVENNET_FILE, _SEVENNET_SHA256)
    # Its reader wants a file: this one holds the bytes that were checked.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it would be faster on a GPU
        file = Path(folder) / "checkpoint.pth"
        file.write_bytes(content)
        return SevenNetCalculator(str(file), device="cpu")


POTENTIALS: dict[str, Potential] = {
    # Deng et al. 2023; trained on the Materials Project's corrected energies, Z up to 94.
    "chgnet": Potential("chgnet-0.3.0", frozenset(range(1, 95)), _load_chgnet),
    # Park et al. 2024 (7net-0), the same data; the second opinion, an optional extra.
    "sevennet": Potential(
        "sevennet-0-11jul2024", frozenset(range(1, 95)) - frozenset(range(84, 89)), _load_sevennet
    ),
}


def potential(name: str) -> Potential:
    """Return a potential by name.

    Raises:
        EvaluationError: if there is none of this name.
    """
    if name not in POTENTIALS:
        raise EvaluationError(no_such("potential", name, POTENTIALS))
    return POTENTIALS[name]


@lru_cache(maxsize=1)
def calculator(name: str) -> Any:
    """Return the calculator, loaded once in each process."""
    return potential(name).load()


def check_elements(crystal: Cell, name: str) -> None:
    """Refuse elements that the potential was never trained on.

    Raises:
        EvaluationError: naming them.
    """
    unknown = sorted({int(z) for z in crystal.numbers} - potential(name).elements)
    if unknown:
        names = ", ".join(symbols()[z] for z in unknown)
        raise EvaluationError(f"the potential {potential(name).name} does not know {names}")


def single_point(crystal: Cell, name: str = "chgnet") -> float:
    """Return the energy of a crystal as it is, eV/atom.

    Raises:
        EvaluationError: if the potential does not know an element.
    """
    check_elements(crystal, name)
    atoms, tool = crystal.to_atoms(), calculator(name)
    tool.calculate(atoms, properties=["energy"], **({"task": "e"} if name == "chgnet" else {}))
    return float(tool.results["energy"]) / len(atoms)
