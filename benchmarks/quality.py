"""Quality of a trained model: the commands behind the model card's figures.

On held-out crystals (--part, default test):
    python -m benchmarks.quality reconstruction --dataset oqmd_icsd
    python -m benchmarks.quality tolerance --dataset oqmd_icsd
    python -m benchmarks.quality formula --dataset oqmd_icsd --num 1000
    python -m benchmarks.quality prediction --dataset oqmd_icsd --num 200 --k 20
    python -m benchmarks.quality prediction --dataset mp_20 --data-dir DIR --part all \\
        --unseen oqmd_icsd
    python -m benchmarks.quality prediction --dataset oqmd_icsd --num 200 --k 20 --preset predict \\
        --formula-units likely
    python -m benchmarks.quality steps --dataset oqmd_icsd --num 500
    python -m benchmarks.quality predictors --dataset oqmd_icsd
    python -m benchmarks.quality space_groups --dataset oqmd_icsd
    python -m benchmarks.quality likely_groups --dataset oqmd_icsd --k 20
    python -m benchmarks.quality prototypes --dataset oqmd_icsd --part val --preset predict
    python -m benchmarks.quality contacts --dataset oqmd_icsd --part val
    python -m benchmarks.quality host --dataset oqmd_icsd --num 200

On generated crystals:
    python -m benchmarks.quality denovo --num 2000
    python -m benchmarks.quality calibration --num 200 --targets 2 3 --scales 4 \\
        --filters.band-gap-within.tolerance 0.3 --attempts 20
    python -m benchmarks.quality agreement --num 200 --scales 0 1 2 4 --step-counts 5 10 20
    python -m benchmarks.quality charge_balance --num 60
    python -m benchmarks.quality evaluation --num 2000 --k 4 --check 200
    python -m benchmarks.quality stability --num 100 --workers 2
    python -m benchmarks.quality hull --num 200
    python -m benchmarks.quality discover --num 200 --workers 2
    python -m benchmarks.quality lemat --num 2500

Training the condition on the hull distance, and calibrating its targets, into a file:
    python -m benchmarks.quality hull_condition --part val --run-dir runs/hull
    python -m benchmarks.quality hull_calibration --run-dir runs/hull

On the data set itself, which no model has part in:
    python -m benchmarks.quality identity --part train --num 20000 --check 500

Each prints a table; `--json FILE` also writes it. `--model` is a shipped model's name or a file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.quality_commands.calibration import agreement, calibration, predictors
from benchmarks.quality_commands.contacts import contacts
from benchmarks.quality_commands.discovery import discover, lemat
from benchmarks.quality_commands.evaluation import evaluation, identity
from benchmarks.quality_commands.host import host
from benchmarks.quality_commands.hull import hull, hull_calibration
from benchmarks.quality_commands.hull_condition import hull_condition
from benchmarks.quality_commands.model import (
    denovo,
    formula,
    prediction,
    reconstruction,
    steps,
    tolerance,
)
from benchmarks.quality_commands.open_formulas import charge_balance
from benchmarks.quality_commands.prototypes import prototypes
from benchmarks.quality_commands.shared import Row, load_model
from benchmarks.quality_commands.space_groups import likely_groups, space_groups
from benchmarks.quality_commands.stability import stability
from crystal_ldm.discovery.screening import RELAXED_SHARE
from crystal_ldm.evaluate.calibration import SCALES, STEPS, TARGETS_EV
from crystal_ldm.sampling import options as sampling_options

COMMANDS: dict[str, Callable[[Any, argparse.Namespace], list[Row]]] = {
    f.__name__: f
    for f in (
        reconstruction,
        tolerance,
        formula,
        prediction,
        steps,
        denovo,
        calibration,
        agreement,
        predictors,
        evaluation,
        identity,
        stability,
        hull,
        hull_calibration,
        hull_condition,
        discover,
        lemat,
        space_groups,
        likely_groups,
        host,
        prototypes,
        charge_balance,
        contacts,
    )
}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--model", default="oqmd_icsd", help="a shipped model's name or a file")
    parser.add_argument("--dataset", default="oqmd_icsd")
    parser.add_argument("--data-dir")
    parts = ("train", "val", "test", "all")
    parser.add_argument("--part", default="test", choices=parts)
    parser.add_argument("--unseen", help="keep only formulas that this data set lacks")
    parser.add_argument("--num", type=int, default=1000, help="crystals (of each cell of a table)")
    parser.add_argument("--workers", type=int, help="processes; default: one for each core")
    parser.add_argument("--json", help="also write the table to this file")
    parser.add_argument("--check", type=int, default=0, help="compare so many with plain pymatgen")
    parser.add_argument("--write", action="store_true", help="contacts: take distances anew")
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--k", type=int, default=1, help="crystals for each formula")
    sampling.add_argument(
        "--of",
        type=int,
        default=0,
        help="prediction: make so many, keep k of them",
    )
    sampling.add_argument(
        "--keep",
        default="representatives",
        choices=("representatives", "likeliest"),
        help="prediction: those that stand for all, or those that known crystals confirm",
    )
    sampling.add_argument(
        "--formula-units",
        default="given",
        choices=("given", "1", "likely"),
        help="prediction: those of the held-out crystals, 1, or as the model finds them",
    )
    for one in sampling_options():
        if one.path not in ("start", "filters"):  # what they are made of has options of its own
            how: dict[str, Any] = {"type": str if one.type == "text" else yaml.safe_load}
            how |= {"nargs": "?", "const": True} if one.type == "flag" else {}
            name, text = "--" + one.path.replace("_", "-"), one.help.replace("%", "%%")
            sampling.add_argument(
                name, dest=one.path, default=argparse.SUPPRESS, metavar="VALUE", help=text, **how
            )
    tables = parser.add_argument_group("calibration and agreement")
    tables.add_argument("--targets", type=float, nargs="+", default=TARGETS_EV, help="eV")
    tables.add_argument(
        "--forbidden", nargs="+", default=(), help="elements left out of a calibration, such as U"
    )
    tables.add_argument("--scales", type=float, nargs="+", default=SCALES, help="guidance scales")
    tables.add_argument("--step-counts", type=int, nargs="+", default=STEPS)
    relaxing = parser.add_argument_group("stability")
    relaxing.add_argument("--run-dir", help="where crystals are kept; continued if it exists")
    relaxing.add_argument("--potential", default="chgnet")
    relaxing.add_argument(
        "--relaxed-share",
        type=float,
        default=RELAXED_SHARE,
        help="discover: share of what is made that is relaxed (1: no screen before it)",
    )
    relaxing.add_argument("--fmax", type=float, default=0.05, help="eV/Å")
    relaxing.add_argument("--max-steps", type=int, default=300)
    return parser.parse_args(words, argparse.Namespace(seed=0))


def main() -> None:
    """Run one command."""
    options = parse()
    rows = COMMANDS[options.command](load_model(options.model), options)
    for row in rows:
        print(
            "  ".join(
                f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
            )
        )
    if options.json:
        Path(options.json).write_text(
            json.dumps({"options": vars(options), "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
