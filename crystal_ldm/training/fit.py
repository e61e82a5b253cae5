"""Training a VAE or an LDM on a data set: one function, resumable at any moment."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.errors import DataError
from crystal_ldm.files import DirectoryLock
from crystal_ldm.files.atomic import atomic_write_json, make_folder
from crystal_ldm.nn.checkpoints import Checkpoint, load_module, save_safetensors
from crystal_ldm.nn.compile import compile_blocks
from crystal_ldm.random import crystal_generator
from crystal_ldm.training.callbacks import (
    Live,
    MetricsLog,
    RegularCheckpoint,
    StopWhenAsked,
    Validation,
)
from crystal_ldm.training.choosing import MatchValidation, check_choice
from crystal_ldm.training.graphs import CudaGraphs
from crystal_ldm.training.hardware import training_device, training_precision
from crystal_ldm.training.lightning import LightningTraining
from crystal_ldm.training.processes import ProcessShare
from crystal_ldm.training.stream import StepStream
from crystal_ldm.vae_module.vocabulary import representable

if TYPE_CHECKING:
    from crystal_ldm.data import CrystalDataset

MAX_VALIDATION_CRYSTALS = 1024


def fit(
    module: Any,
    dataset: CrystalDataset,
    run_dir: str | Path,
    *,
    batch_size: int = 128,
    max_minutes: float | None = None,
    checkpoint_minutes: float = 3.0,
    log_every: int = 50,
    validate_every: int = 500,
    choose_by: str = "loss",
    match_every: int = 2000,
    match_crystals: int = 300,
    gradient_clip: float = 1.0,
    precision: str = "auto",
    compile: bool = False,
    cuda_graphs: bool = False,
    stop: threading.Event | None = None,
    live: Live | None = None,
    progress: bool = True,
    **trainer_options: Any,
) -> Any:
    """Train `module` (a `VAEModule` or `LDMModule`) and return it with the best weights.

    `run_dir` holds `last.ckpt` (all that is needed to resume), `best.ckpt` (the weights that do
    best on the choosing part), `metrics.jsonl`, `hardware.json` (device and precision of the last
    call) and, after each call, `model.safetensors` (the best weights for use). Where `last.ckpt`
    exists the training goes on from there: batches, noise and learning rate are those of an
    uninterrupted run.

    Lightning trains on several processors, cards or machines, and under SLURM:
    `fit(..., accelerator="cpu", devices=2, strategy="ddp")`, or `accelerator="gpu", devices=4,
    num_nodes=2, strategy="ddp"` from a script that `srun` starts. The batch is shared out among
    the processes; losses and weights are those of one process, to rounding.

    Args:
        module: what to train; its optimiser says how many steps.
        dataset: trained on part `train`, validated on part `val`.
        run_dir: made when missing.
        batch_size: crystals in a batch, over all processes.
        max_minutes: time budget of this call; None: until the last step.
        checkpoint_minutes: time between checkpoints.
        log_every, validate_every: steps between lines of metrics, and between validations.
        choose_by: what makes weights the best: the lowest `loss`, or of an LDM the highest `match`
            rate of crystals that it makes for held-out formulas.
        match_every, match_crystals: steps between two such comparisons, and formulas in each.
        gradient_clip: largest norm of the gradient.
        precision: `float32`, `bfloat16` (autocast), one of Lightning's names, e.g. `16-mixed`, or
            `auto`: bfloat16 where the hardware has it, else float32.
        compile: whether `torch.compile` fuses the transformer blocks' small operations: some 15 %
            faster after half a minute; needs a C++ compiler. Losses agree to rounding.
        cuda_graphs: whether a CUDA card gets loss and gradient of a step as one graph instead of a
            thousand operations (see `CudaGraphs`): several times as many steps of small batches.
        stop: an event that ends the training when it is set.
        live: called with each line of metrics.
        progress: whether to print each line.
        trainer_options: further arguments for Lightning's `Trainer`, e.g. `devices`, `strategy`.

    Raises:
        ConfigError: if `choose_by` is neither, or the module cannot be judged by matching; for an
            unknown precision; where `cuda_graphs` cannot be had (see `CudaGraphs`).
        RequestError: if this machine does not have the accelerator.
        DataError: if too little of the data set can be used by the module.
        CheckpointError: if `last.ckpt` is damaged.
        RunError: if `run_dir` cannot be written, or another process trains there.
    """
    check_choice(choose_by, module)
    accelerator = training_device(trainer_options.pop("accelerator", "auto"))
    precision = training_precision(precision, accelerator)
    run_dir = make_folder(run_dir)
    train, val = usable_parts(dataset, module)
    info = data_info(dataset, train)
    if module.data_info:  # it starts with the weights of another model and keeps its vocabulary
        module.extend_data(train, info)
    else:
        module.set_data(train, info)
    items = module.training_items(train)
    held_out = module.training_items(val)
    if not (run_dir / "last.ckpt").is_file():
        module.prepare(items, held_out, _print_compositions if progress else None)
    if compile:
        compile_blocks(module)
    stream = StepStream(items, train.num_atoms.numpy(), batch_size, module.seed)
    order = np.argsort(val.num_atoms.numpy(), kind="stable")
    val_batches = [held_out[torch.as_tensor(rows)] for rows in _chunks(order, batch_size)]

    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(_no_notices)
    last = run_dir / "last.ckpt"
    log = MetricsLog(run_dir / "metrics.jsonl", log_every, gradient_clip, live, progress)
    best_path = run_dir / "best.ckpt"
    if choose_by == "match":
        rows = crystal_generator(0).permutation(len(val))[:match_crystals]
        chosen = val[torch.as_tensor(np.sort(rows))]
        judges = [
            Validation(val_batches, validate_every, log, None),
            MatchValidation(chosen, match_every, log, best_path),
        ]
    else:
        judges = [Validation(val_batches, validate_every, log, best_path)]
    trainer = _QuietTrainer(
        max_steps=module.optimizer.max_steps,
        callbacks=[
            log,
            *judges,
            StopWhenAsked(max_minutes, stop),
            RegularCheckpoint(last, checkpoint_minutes),
            ProcessShare(stream, last),
            *([CudaGraphs()] if cuda_graphs else []),
        ],
        precision=precision,
        accelerator=accelerator,
        **{"devices": 1, **trainer_options},
    )
    loader = DataLoader(stream, batch_size=None)
    # The first process is the one that writes.
    lock = DirectoryLock(run_dir) if trainer.is_global_zero else contextlib.nullcontext()
    with lock, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message=".*num_workers.*|.*srun.*|.*LeafSpec.*|.*in eval mode.*|.*Mismatch dtype.*",
        )
        if trainer.is_global_zero:
            used = {"device": accelerator, "precision": precision}
            atomic_write_json(run_dir / "hardware.json", used)
            if progress:
                print(f"training on {accelerator} in precision {precision}", flush=True)
        ckpt_path = last if last.is_file() else None
        trainer.fit(LightningTraining(module), loader, ckpt_path=ckpt_path, weights_only=True)
        module.global_step = trainer.global_step
        if not trainer.is_global_zero:
            return module
        source = best_path if best_path.is_file() else last
        best = load_module(type(module), Checkpoint.read(source))
        save_safetensors(best, run_dir / "model.safetensors", half=False)
    return best


def _print_compositions(epoch: int, lowest: float) -> None:
    print(f"compositions: {epoch} epochs, lowest loss {lowest:.3f} nats", flush=True)


def _no_notices(record: logging.LogRecord) -> bool:
    """Keep Lightning's warnings; what hardware it found and what it advertises is noise here."""
    return record.levelno >= logging.WARNING


class _QuietTrainer(pl.Trainer):
    """Lightning's trainer without bars, loggers and files of its own (bars are blank in reports)"""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **options,
        )


def usable_parts(dataset: CrystalDataset, module: Any) -> tuple[CrystalBatch, CrystalBatch]:
    """Return the training and the choosing part, of crystals that the module can represent.

    Elements in fewer than 10 formulas of the training part are left out, unless the module already
    has its elements (from weights that it starts with).

    Raises:
        DataError: if fewer than 20 training crystals are left.
    """
    elements = module.elements
    if not module.data_info:
        elements = [symbol for symbol in dataset.vocabulary() if symbol in elements]
    parts = []
    for name in ("train", "val"):
        part = dataset.batch(dataset.indices(name))
        usable = representable(part, tuple(elements), module.max_atoms)
        parts.append(part[usable.nonzero().flatten()])
    if len(parts[0]) < 20 or len(parts[1]) < 1:
        raise DataError(
            f"Only {len(parts[0])} training and {len(parts[1])} validation crystals of "
            f"'{dataset.name}' have at most {module.max_atoms} atoms and elements that occur in at "
            "least 10 formulas; that is too few to train on."
        )
    generator = np.random.Generator(np.random.PCG64(0))
    rows = generator.permutation(len(parts[1]))[:MAX_VALIDATION_CRYSTALS]
    return parts[0], parts[1][torch.as_tensor(np.sort(rows))]


def data_info(dataset: CrystalDataset, train: CrystalBatch) -> dict[str, Any]:
    """Return what a model has to know about its training set, as plain data."""
    numbers = sorted(set(train.atomic_numbers.unique().tolist()) - {0})
    counts = torch.bincount(train.num_atoms)
    return {
        "dataset": dataset.name,
        "content_hash": dataset.content_hash,
        "num_crystals": len(train),
        "elements": [symbols()[z] for z in numbers],
        "num_atoms_histogram": counts.tolist(),
    }


def _chunks(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]
