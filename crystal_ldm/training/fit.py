"""Training a VAE or an LDM on a data set: one function, resumable at any moment."""

from __future__ import annotations

import contextlib
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.data import CrystalDataset
from crystal_ldm.errors import DataError
from crystal_ldm.files import DirectoryLock
from crystal_ldm.files.writing import atomic_write_json, make_folder
from crystal_ldm.ldm_module.composition_model.training import FEW_CRYSTALS
from crystal_ldm.nn.checkpoints import Checkpoint, load_module, save_safetensors
from crystal_ldm.nn.compile import compile_blocks
from crystal_ldm.random import crystal_generator
from crystal_ldm.training.batches import StepStream
from crystal_ldm.training.callbacks import (
    CompositionProgress,
    Live,
    MetricsLog,
    RegularCheckpoint,
    StopWhenAsked,
    TimeLimit,
    save_atomically,
)
from crystal_ldm.training.cuda_graphs import GraphedTraining
from crystal_ldm.training.lightning import (
    LightningTraining,
    quiet_trainer,
    training_device,
    training_precision,
)
from crystal_ldm.training.resume import step_to_resume
from crystal_ldm.training.settings import FREEZE_BELOW, TrainingSettings
from crystal_ldm.training.validation import (
    LossValidation,
    MatchValidation,
    Validation,
    check_choice,
)

MAX_VALIDATION_CRYSTALS = 1024


def fit(
    module: Any,
    dataset: CrystalDataset,
    run_dir: str | Path,
    settings: TrainingSettings | None = None,
    *,
    max_minutes: float | None = None,
    stop: threading.Event | None = None,
    live: Live | None = None,
    progress: bool = True,
    **trainer_options: Any,
) -> Any:
    """Train `module` (a `VAEModule` or `LDMModule`) and return it with the best weights.

    `run_dir` holds `last.ckpt` (all that is needed to resume), `best.ckpt` (the weights that do
    best on the validation set), `metrics.jsonl`, `hardware.json` (device and precision of the last
    call) and, after each call, `model.safetensors` (the best weights for use). Where `last.ckpt`
    exists the training goes on from there: batches, noise and learning rate are those of an
    uninterrupted run. A composition model is trained beside the denoiser
    (`CompositionProgress`).

    Lightning trains on several CPUs, GPUs or machines, and under SLURM:
    `fit(..., accelerator="cpu", devices=2, strategy="ddp")`, or `accelerator="gpu", devices=4,
    num_nodes=2, strategy="ddp"` from a script that `srun` starts. The batch is shared out among
    the processes; losses and weights are those of one process, to rounding.

    Args:
        module: what to train; its optimiser says how many steps.
        dataset: trained on part `train`, validated on part `val`.
        run_dir: made when missing.
        settings: see `TrainingSettings`.
        max_minutes: time budget of this call, from now on; None: until the last step.
        stop: an event that ends the training when it is set.
        live: called with each line of metrics.
        progress: whether to print each line.
        trainer_options: further arguments for Lightning's `Trainer`, e.g. `devices`, `strategy`.

    Raises:
        ConfigError: if the module cannot be validated by matching; for an unknown precision; where
            `cuda_graphs` cannot be had (see `GraphedTraining`).
        RequestError: if this machine does not have the accelerator.
        DataError: if too little of the data set can be used by the module.
        CheckpointError: if `last.ckpt` is damaged, or of another model.
        RunError: if `run_dir` cannot be written, or another process trains there.
    """
    limit = TimeLimit(max_minutes, stop)
    settings = settings or TrainingSettings()
    check_choice(settings.choose_by, module)
    accelerator = training_device(trainer_options.pop("accelerator", "auto"))
    precision = training_precision(settings.precision, accelerator)
    train, val = usable_parts(dataset, module)
    run_dir = make_folder(run_dir)
    info = data_info(dataset, train)
    if module.data_info:  # it starts with the weights of another model and keeps its vocabulary
        module.extend_data(train, info)
    else:
        module.set_data(train, info)
    module.choose_weights(len(train) < FREEZE_BELOW if settings.freeze is None else settings.freeze)
    items, held_out = module.training_items(train), module.training_items(val)
    if settings.compile:
        compile_blocks(module)

    last, best_path = run_dir / "last.ckpt", run_dir / "best.ckpt"
    log = MetricsLog(
        run_dir / "metrics.jsonl", settings.log_every, settings.gradient_clip, live, progress
    )
    stream = StepStream(items, train.num_atoms.numpy(), settings.batch_size, module.seed)
    beside = module.composition_training(items, held_out)
    compositions = [] if beside is None else [CompositionProgress(beside, log, limit)]
    validations = _validations(settings, val, held_out, log, best_path, limit)
    trainer = quiet_trainer(
        max_steps=module.optimizer.max_steps,
        callbacks=[
            log,
            *validations,
            *compositions,
            StopWhenAsked(limit),
            RegularCheckpoint(last, settings.checkpoint_minutes),
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
            message=".*num_workers.*|.*srun.*|.*LeafSpec.*|.*in eval mode.*",
        )
        stream.start_step = step_to_resume(last, module)
        if trainer.is_global_zero:
            used = {"device": accelerator, "precision": precision}
            atomic_write_json(run_dir / "hardware.json", used)
            if progress:
                print(f"training on {accelerator} in precision {precision}", flush=True)
        ckpt_path = last if last.is_file() else None
        kind = GraphedTraining if settings.cuda_graphs else LightningTraining
        training = kind(module.train(), stream)
        trainer.fit(training, loader, ckpt_path=ckpt_path, weights_only=True)
        module.global_step = trainer.global_step
        caught_up = [validation.catch_up(trainer, training) for validation in validations]
        if not trainer.is_global_zero:
            return module
        finished = [one.finish(trainer) for one in compositions]
        if any(finished + caught_up) and trainer.world_size == 1:
            save_atomically(trainer, last)
        source = best_path if best_path.is_file() else last
        best = load_module(type(module), Checkpoint.read(source))
        for one in compositions:
            one.give(best)
        save_safetensors(best, run_dir / "model.safetensors", half=False)
    return best


def _validations(
    settings: TrainingSettings,
    val: CrystalBatch,
    held_out: Any,
    log: MetricsLog,
    best: Path,
    limit: TimeLimit,
) -> list[Validation]:
    """Return what measures the model in training; one of them chooses the weights."""
    by_match = settings.choose_by == "match"
    order = np.argsort(val.num_atoms.numpy(), kind="stable")
    batches = [held_out[rows] for rows in torch.as_tensor(order).split(settings.batch_size)]
    # The loss of a few crystals tells no weights apart: then the last ones are used.
    chooses = None if by_match or len(val) < FEW_CRYSTALS else best
    validations: list[Validation] = [LossValidation(batches, settings.validate_every, log, chooses)]
    if by_match:
        rows = crystal_generator(0).permutation(len(val))[: settings.match_crystals]
        crystals = val[torch.as_tensor(np.sort(rows))]
        validations.append(MatchValidation(crystals, limit, settings.match_every, log, best))
    return validations


def usable_parts(dataset: CrystalDataset, module: Any) -> tuple[CrystalBatch, CrystalBatch]:
    """Return the training and the validation set, of crystals that the module can represent.

    Elements in fewer than 10 formulas of the training set are left out, unless the module already
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
        usable = module.representable(part, elements)
        parts.append(_labelled(part[usable.nonzero().flatten()], module))
    if len(parts[0]) < 20 or len(parts[1]) < 1:
        counts = f"Only {len(parts[0])} training and {len(parts[1])} validation crystals"
        size = f"of '{dataset.name}' have at most {module.max_atoms} atoms"
        if module.data_info:
            raise DataError(
                f"{counts} {size} and only elements that the model of init_from knows; that is too "
                "few to train on."
            )
        raise DataError(
            f"{counts} {size} and elements that occur in at least 10 formulas; that is too few to "
            "learn elements from nothing. Start from a trained model, which knows them: "
            "init_from=oqmd_icsd (or the path of a model of yours)."
        )
    generator = np.random.Generator(np.random.PCG64(0))
    rows = generator.permutation(len(parts[1]))[:MAX_VALIDATION_CRYSTALS]
    return parts[0], parts[1][torch.as_tensor(np.sort(rows))]


def _labelled(part: CrystalBatch, module: Any) -> CrystalBatch:
    """Return crystals with the labels that conditions find by themselves, looked for once.

    Conditions of a kind find the same, whatever they are called.
    """
    network = getattr(module, "network", None)
    found: dict[str, Any] = {}
    for condition in getattr(network, "properties", {}).values():
        if condition.label not in part.conditions:
            if condition.kind not in found:
                found[condition.kind] = condition.values_of(part)
            if found[condition.kind] is not None:
                part.conditions[condition.label] = found[condition.kind]
    return part


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
