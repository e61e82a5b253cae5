"""One request carried out into a run directory: what notebook 04_sample does."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals import CrystalBatch, ElementRules
from crystal_ldm.crystals.given_values import labels_of
from crystal_ldm.errors import RequestError
from crystal_ldm.files import resolve_path
from crystal_ldm.files.run_directory import newest_runs, read_run
from crystal_ldm.runs.requests import FOLDER
from crystal_ldm.runs.sample_run import NOTEBOOK, SampleRun, identity

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule
    from crystal_ldm.sampling import SampleResult
    from crystal_ldm.sampling.denoising import Order

OnBatch = Callable[["SampleResult"], object]


def make_request(
    formula: str | Sequence[str] = "",
    formula_units: Any = None,
    num_atoms: int | Sequence[int] | None = None,
    conditions: Mapping[str, Any] | None = None,
    required: Any = None,
    allowed: Any = None,
    forbidden: Any = None,
    crystals: Sequence[str] = (),
    sampling: Mapping[str, Any] | None = None,
) -> CrystalBatch | None:
    """Return the request that a notebook's parameters describe; None: de novo.

    Args:
        formula: one or several formulas; empty: elements are left open.
        formula_units: formula units in a cell, see `CrystalBatch.from_formulas`.
        num_atoms: without a formula, atoms in a cell; None or 0: as in the training set.
        conditions: targets by name; None and empty text count as not given.
        required, allowed, forbidden: element lists for open atoms.
        crystals: instead of a formula, structure files that the denoising starts from.
        sampling: keywords of `LDMModule.sample`, of which the start says whether it takes crystals.

    Raises:
        DataError, FormulaError, RequestError: for what cannot be read or does not go together.
    """
    from crystal_ldm.sampling import SamplingSettings

    start = SamplingSettings.make(sampling or {}).start
    targets = {n: v for n, v in (conditions or {}).items() if v is not None and v != ""}
    rules = {
        "required": required or None,
        "allowed": allowed or None,
        "forbidden": forbidden or None,
    }
    if crystals and not start.takes_crystals:
        raise RequestError(
            "Structure files are for the starts host and crystal: set one of their settings, such "
            "as start_host_rest or start_crystal_strength."
        )
    if start.takes_crystals and not crystals:
        raise RequestError(
            f"The start {start.kind} needs structure files: name them, as --crystals FILE."
        )
    if crystals:
        if formula or num_atoms:
            raise RequestError("Give structure files, a formula or num_atoms, one of them.")
        files = [resolve_path(file) for file in crystals]
        batch = CrystalBatch.from_structures(files, targets, canonical=not start.keeps_cells)
        batch.element_rules = [ElementRules.make(**rules) for _ in files]
        return batch
    if formula:
        if num_atoms:
            raise RequestError(
                "Give a formula (with formula_units) or num_atoms, not both; a formula says how "
                "many atoms there are. To leave the formula out, make it empty: --formula ''."
            )
        batch = CrystalBatch.from_formulas(formula, formula_units, **rules)
    elif num_atoms:
        batch = CrystalBatch.from_num_atoms(num_atoms, **rules)
    elif targets or any(rules.values()):
        raise RequestError(
            "Conditions and element lists need a formula or num_atoms: say how large the cells are."
        )
    else:
        return None
    # Not by keyword: a condition may be called as an argument is.
    batch.conditions = labels_of(targets, len(batch))
    return batch


def request_in_words(order: Order) -> str:
    """Return what is asked of a model, in one line, with what the preset says of it."""
    request, ldm = order.plan.request, order.ldm
    if request is None:
        return "elements and sizes left open"
    cells = []
    for formula, n, units in zip(
        request.formulas, request.num_atoms.tolist(), request.units(), strict=True
    ):
        sizes = [n * m for m in units] if isinstance(units, Mapping) else [n]
        named = "any elements" if formula.strip("?") == "" else formula
        cells.append(f"{named} ({' or '.join(map(str, sizes))} atoms)")
    plain = request.to_request()
    parts = [_shortened(cells)]
    for name, values in plain["conditions"].items():
        unit = getattr(ldm.conditions[name], "unit", "")
        texts = [_target(value) for value in values if value is not None]
        if texts:
            parts.append(f"{name} {_shortened(texts)} {unit}".strip())
    for rule in ("required", "allowed", "forbidden"):
        lists = [" ".join(rules[rule]) for rules in plain["element_rules"] if rules[rule]]
        if lists:
            parts.append(f"{rule}: {_shortened(lists)}")
    return "; ".join(parts)


def _target(value: Any) -> str:
    if isinstance(value, list):  # a range, or several of which each is meant
        is_range = all(isinstance(v, float) for v in value)
        return " to ".join(f"{v:.6g}" for v in value) if is_range else ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _shortened(texts: list[str]) -> str:
    """Return different texts in a row, the first eight of them."""
    different = list(dict.fromkeys(texts))
    more = f" and {len(different) - 8:,} more" if len(different) > 8 else ""
    return ", ".join(different[:8]) + more


def generate(
    ldm: LDMModule,
    request: CrystalBatch | None,
    run_dir: str | Path,
    num_samples: int,
    *,
    symprec: float = 0.1,
    p1_cif: bool = False,
    on_batch: OnBatch | None = None,
    progress: bool = True,
    **settings: Any,
) -> SampleRun:
    """Generate crystals into a run directory, which is locked meanwhile.

    Crystals that an earlier call, a notebook or a split request wrote there are not made again.

    Args:
        ldm: the model.
        request, num_samples: see `LDMModule.sample`.
        run_dir, symprec, p1_cif: see `SampleRun.open`.
        on_batch: called with each result that is on disk, in the thread that writes.
        progress: whether to print a line now and then.
        settings: see `LDMModule.sample`.

    Returns:
        The run, finished; its `rows` are the table.

    Raises:
        RequestError: for what the model was not trained for, or a tolerance that is none.
        RunError: see `SampleRun.open`.
    """
    from crystal_ldm.sampling.sample import place_order

    order = place_order(ldm, request, num_samples, settings)
    return _carry_out(order, run_dir, symprec, p1_cif, on_batch, progress)


def _carry_out(
    order: Order,
    run_dir: str | Path,
    symprec: float = 0.1,
    p1_cif: bool = False,
    on_batch: OnBatch | None = None,
    progress: bool = True,
) -> SampleRun:
    from crystal_ldm.sampling.sample import iter_sample

    with SampleRun.open(run_dir, order, symprec=symprec, p1_cif=p1_cif) as run:
        before, started = len(run.files.done), time.monotonic()
        if before and progress:
            rest = "; making the rest." if before < run.total else "."
            print(f"{before} of {run.total} crystals are there already{rest}")

        def write(result: SampleResult) -> None:
            run.files.add(result)
            run.progress()
            if progress:
                count = len(run.files.done)
                rate = (count - before) / max(time.monotonic() - started, 1e-9)
                left = f"{rate:.1f} per second, {(run.total - count) / rate:.0f} s left"
                print(f"{count} of {run.total} crystals, {left}", flush=True)
            if on_batch is not None:
                on_batch(result)

        # One batch is written (symmetry search, in Python) while the next is made (in torch).
        # Leaving the block waits for the last one, whatever ended the loop.
        with ThreadPoolExecutor(max_workers=1) as writer:
            written: Future[None] | None = None
            for result in iter_sample(order, wanted=run.missing):
                if written is not None:
                    written.result()
                written = writer.submit(write, result)
            if written is not None:
                written.result()
    return run


def silent_order(
    ldm: LDMModule, request: CrystalBatch | None, num_samples: Any, settings: Mapping[str, Any]
) -> Order:
    """Return the order of a request, or refuse it, without the warnings that `generate` gives."""
    from crystal_ldm.sampling.sample import place_order

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return place_order(ldm, request, num_samples, settings, 0)


def last_run(
    ldm: LDMModule,
    request: CrystalBatch | None,
    num_samples: int,
    *,
    symprec: float = 0.1,
    p1_cif: bool = False,
    **settings: Any,
) -> str:
    """Return the run under `runs/` with just this request that a workbench has used last.

    Args: see `generate`.

    Returns:
        Its path; empty where there is none.

    Raises:
        RequestError: see `SampleRun.open`.
    """
    order = silent_order(ldm, request, num_samples, settings)
    wanted = identity(order, symprec, p1_cif)
    for path in newest_runs(NOTEBOOK):
        if (path / FOLDER).is_dir() and read_run(path)["recipe"] == wanted:
            return str(path)
    return ""


def generate_again(file: Path | str, run_dir: str | Path = "", **how: Any) -> SampleRun:
    """Generate the crystals of a recipe into a run directory: all of a `recipe.json`, the one of a
    CIF.

    Args:
        file: see `crystal_ldm.recipe.read_recipe`.
        run_dir: see `SampleRun.open`.
        how: other arguments of `generate`.

    Raises:
        CheckpointError, DataError, RequestError: see `crystal_ldm.recipe.from_recipe`.
        RunError: see `SampleRun.open`.
    """
    from crystal_ldm.recipe import model_of_recipe, order_of_recipe, read_recipe
    from crystal_ldm.sampling.recipe import recipe_of_row

    recipe = read_recipe(file)
    if "number" in recipe:
        alone = {"num_samples": 1, "offset": recipe["number"]}
        sampling = {**recipe["sampling"], **alone}
        recipe = {**recipe_of_row(recipe, recipe["row"]), "sampling": sampling}
    return _carry_out(order_of_recipe(recipe, model_of_recipe(recipe)), run_dir, **how)
