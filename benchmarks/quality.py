"""Quality of a trained model on held-out crystals: the commands behind the model card's figures.

    python benchmarks/quality.py reconstruction --dataset oqmd_icsd
    python benchmarks/quality.py tolerance --dataset oqmd_icsd
    python benchmarks/quality.py formula --dataset oqmd_icsd --num 1000
    python benchmarks/quality.py prediction --dataset oqmd_icsd --num 200 --k 20
    python benchmarks/quality.py prediction --dataset mp_20 --data-dir DIR --unseen oqmd_icsd
    python benchmarks/quality.py steps --dataset oqmd_icsd --num 500
    python benchmarks/quality.py denovo --num 2000
    python benchmarks/quality.py calibration --num 100

Each prints a table; `--json FILE` also writes it. `--model` is a shipped model's name or a file.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.evaluate import csp_metrics, match_pairs
from crystal_ldm.evaluate.band_gap import calibrate_band_gap
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.output import min_distance
from crystal_ldm.pretrained import load_pretrained
from crystal_ldm.random import crystal_generator, torch_generator
from crystal_ldm.vae_module import VAEModule
from crystal_ldm.vae_module.vocabulary import representable

Row = dict[str, Any]


def load_model(name: str) -> LDMModule | VAEModule:
    """Return a shipped model, or the LDM or VAE in a file."""
    path = Path(name)
    if not path.exists():
        return load_pretrained(name)
    try:
        return LDMModule.load_from_checkpoint(path)
    except ValueError:
        return VAEModule.load_from_checkpoint(path)


def held_out(options: argparse.Namespace, vae: VAEModule) -> CrystalBatch:
    """Return up to `--num` crystals of `--part` that the model can represent, drawn by `--seed`."""
    dataset = load_dataset(options.dataset, options.data_dir, progress=False)
    chosen = dataset.indices(options.part)
    if options.unseen:
        known = load_dataset(options.unseen, progress=False)
        chosen = np.arange(len(dataset))
        seen = set(known.formulas)
        chosen = np.array([i for i in chosen if dataset.formulas[i] not in seen])
    batch = usable(dataset, chosen, vae)
    order = crystal_generator(options.seed, 7).permutation(len(batch))[: options.num]
    return batch[torch.as_tensor(np.sort(order))]


def usable(dataset: CrystalDataset, rows: np.ndarray, vae: VAEModule) -> CrystalBatch:
    """Return the crystals of `rows` with elements and sizes that the model knows."""
    batch = dataset.batch(rows)
    keep = representable(batch, vae.elements, vae.max_atoms)
    print(
        f"{int(keep.sum())} of {len(batch)} crystals have elements and sizes that the model knows"
    )
    return batch[keep.nonzero().flatten()]


def reconstruction(model: Any, options: argparse.Namespace) -> list[Row]:
    """Encode and decode held-out crystals, elements included."""
    vae = getattr(model, "vae", model)
    batch = held_out(options, vae)
    with torch.inference_mode():
        parts = [vae.reconstruct(batch[rows]) for rows in torch.arange(len(batch)).split(256)]
    decoded = CrystalBatch.cat(parts)
    matches = match_pairs(decoded.to_structures(), batch.to_structures(), workers=options.workers)
    right = (decoded.atomic_numbers == batch.atomic_numbers).all(dim=1).float().mean().item()
    return [
        {
            "n": len(batch),
            "match": matches.match_rate,
            "rmse": matches.mean_rmse,
            "all elements right": right,
        }
    ]


def tolerance(model: Any, options: argparse.Namespace) -> list[Row]:
    """Decode latents with Gaussian noise of s times their standard deviation, elements known."""
    vae = getattr(model, "vae", model)
    batch = held_out(options, vae)
    truth = batch.to_structures()
    rows = []
    with torch.inference_mode():
        latents = vae.encode(batch)
        std = latents[batch.mask].std(dim=0)
        for s in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
            noise = torch.randn(latents.shape, generator=torch_generator(options.seed, 8))
            decoded = vae.decode(latents + s * std * noise, batch.num_atoms, batch.atomic_numbers)
            found = match_pairs(decoded.to_structures(), truth, workers=options.workers)
            rows.append(
                {"s": s, "n": len(batch), "match": found.match_rate, "rmse": found.mean_rmse}
            )
    return rows


def is_sound(structure: Structure) -> bool:
    """Return whether no two atoms are within 0.5 Å and each has more than 0.1 Å³ of the cell."""
    return min_distance(structure) > 0.5 and structure.volume / len(structure) > 0.1


def request_of(batch: CrystalBatch) -> CrystalBatch:
    """Return the request for the cell contents of known crystals."""
    return CrystalBatch(batch.atomic_numbers, batch.num_atoms, ids=batch.ids)


def prediction(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Crystal structure prediction: match at 1 and at k samples."""
    batch = held_out(options, model.vae)
    return [_predict(model, batch, options, options.steps, options.sampler, options.cfg_scale)]


def steps(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Match at 1 against sampler, steps and guidance, on the same crystals and noise."""
    batch = held_out(options, model.vae)
    options.k = 1
    return [
        _predict(model, batch, options, count, sampler, scale)
        for sampler in ("ddim", "dpm_solver++")
        for count in (3, 5, 10, 20, 50)
        for scale in (1.0, 2.0)
    ]


def _predict(
    model: LDMModule,
    batch: CrystalBatch,
    options: argparse.Namespace,
    count: int,
    sampler: str,
    scale: float,
) -> Row:
    started = time.perf_counter()
    result = model.sample(
        request_of(batch),
        options.k,
        sampler=sampler,
        sampling_steps=count,
        cfg_scale=scale,
        seed=options.seed,
        precision=options.precision,
    )
    seconds = time.perf_counter() - started
    made = result.to_structures()
    groups = [made[i * options.k : (i + 1) * options.k] for i in range(len(batch))]
    ks = sorted({1, options.k})
    metrics = csp_metrics(groups, batch.to_structures(), ks=ks, workers=options.workers)
    row: Row = {"sampler": sampler, "steps": count, "cfg_scale": scale, "n": len(batch)}
    for k in ks:
        row[f"match@{k}"] = metrics.value("match_rate", k)
        row[f"rmse@{k}"] = metrics.value("rmse", k)
    row["sound"] = float(np.mean([is_sound(s) for s in made]))
    row["crystals/s"] = len(made) / seconds
    return row


def formula(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Ask for held-out formulas and count the crystals that have them."""
    batch = held_out(options, model.vae)
    rows = []
    for scale in (0.0, 1.0, 2.0, 5.0):
        result = model.sample(request_of(batch), 1, cfg_scale=scale, seed=options.seed)
        met = [
            a.composition == b.composition
            for a, b in zip(result.to_structures(), batch.to_structures(), strict=True)
        ]
        rows.append({"cfg_scale": scale, "n": len(met), "formula met": float(np.mean(met))})
    return rows


def denovo(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Generate crystals without any request and count the sound ones."""
    result = model.sample(None, options.num, sampling_steps=options.steps, seed=options.seed)
    valid = [is_sound(s) for s in result.to_structures()]
    return [{"n": len(valid), "sound": float(np.mean(valid))}]


def calibration(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Ask for band gaps with the elements left open and let an independent judge say what came."""
    counts = np.array(model.num_atoms_histogram, dtype=float)
    sizes = crystal_generator(options.seed, 9).choice(
        len(counts), options.num, p=counts / counts.sum()
    )

    def samples(target: float | None, scale: float) -> CrystalBatch:
        request = CrystalBatch.from_num_atoms(sizes.tolist(), band_gap=[target] * len(sizes))
        return model.sample(
            request, 1, cfg_scale=scale, sampling_steps=options.steps, seed=options.seed
        ).crystals

    dataset = load_dataset(options.dataset, options.data_dir, progress=False)
    rows = dataset.indices("train")
    gaps = np.asarray(dataset.labels["band_gap"])[rows]
    table = calibrate_band_gap(
        {(t, s): samples(t, s) for t in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0) for s in (1.0, 2.0, 4.0)},
        base=samples(None, 1.0),
        real=(dataset.batch(rows), gaps),
        max_real=options.num,
        workers=options.workers,
    )
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


COMMANDS: dict[str, Callable[[Any, argparse.Namespace], list[Row]]] = {
    f.__name__: f
    for f in (reconstruction, tolerance, formula, prediction, steps, denovo, calibration)
}


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--model", default="oqmd_icsd")
    parser.add_argument("--dataset", default="oqmd_icsd")
    parser.add_argument("--data-dir")
    parser.add_argument("--part", default="test")
    parser.add_argument("--unseen", help="keep only formulas that this data set lacks")
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--k", type=int, default=1)
    parser.add_argument("--sampler", default="ddim")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--cfg-scale", type=float, default=2.0)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--json")
    options = parser.parse_args()
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
