"""`LDMModule`: latent diffusion of crystals with conditions and classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from crystal_ldm.checkpoints import Checkpoint, load_module, module_metadata, state_hash
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module.checks import check_prior, check_sizes
from crystal_ldm.ldm_module.denoisers import DiT
from crystal_ldm.ldm_module.diffusion import GaussianDiffusion, SamplerStep, diffusion_loss
from crystal_ldm.ldm_module.latents import LatentBatch, encode
from crystal_ldm.ldm_module.network import ConditionedDenoiser
from crystal_ldm.ldm_module.prior import CompositionPrior, fit_prior
from crystal_ldm.ldm_module.result import SampleResult
from crystal_ldm.random import torch_generator
from crystal_ldm.training.optimizer import Optimizer
from crystal_ldm.vae_module import VAEModule
from crystal_ldm.vae_module.vocabulary import element_mask

Report = Callable[[int, float], None]


class LDMModule(pl.LightningModule):
    """Latent diffusion of crystals (Rombach et al. 2022): a frozen VAE, a denoiser, conditions.

    Raises:
        ConfigError: if the latents of VAE and denoiser differ in size, or the prior does not fit.

    Args:
        vae: the trained VAE. It is frozen and travels inside the checkpoint.
        denoiser: the network that is trained.
        diffusion: the process.
        conditions: by name, in the order in which guidance adds them.
        prior: draws the elements of open atoms before their latents are made; None: the decoder
            reads the elements from the latents.
        ema_decay: decay of the exponential moving average of the weights, used for sampling.
        optimizer: learning rate and its schedule.
        seed: seed of all random numbers in training.
    """

    kind = "ldm"

    def __init__(
        self,
        vae: VAEModule,
        denoiser: DiT,
        diffusion: GaussianDiffusion,
        conditions: Mapping[str, nn.Module] | None = None,
        prior: CompositionPrior | None = None,
        ema_decay: float = 0.9995,
        optimizer: Optimizer | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_sizes(vae, denoiser, diffusion)
        self.vae = vae.requires_grad_(False).eval()
        self.network = ConditionedDenoiser(denoiser, dict(conditions or {}))
        self.prior: CompositionPrior | None = None
        if prior is not None:
            self.set_prior(prior)
        self.ema = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
        self.ema.requires_grad_(False)
        self.diffusion = diffusion
        self.optimizer = optimizer or Optimizer()
        self.seed = seed
        self.config: dict[str, Any] = {}
        self.data_info: dict[str, Any] = {}
        self.step_metrics: dict[str, Tensor] = {}
        self.source = "a model in memory"
        self._hash: str | None = None
        self.register_buffer("latent_mean", torch.zeros(vae.latent_dim))
        self.register_buffer("latent_std", torch.ones(vae.latent_dim))
        self.latent_mean: Tensor
        self.latent_std: Tensor

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements that the model knows, by atomic number."""
        return tuple(self.data_info.get("elements", self.vae.elements))

    def element_mask(self) -> Tensor:
        """Return (119,) bool by atomic number, True for the elements that the model knows."""
        return element_mask(self.elements)

    @property
    def max_atoms(self) -> int:
        """Most atoms in a cell."""
        return min(self.vae.max_atoms, self.network.denoiser.position.place.num_embeddings)

    @property
    def conditions(self) -> dict[str, Any]:
        """The conditions by name; each has `describe()`."""
        return dict(self.sampler_network.conditions.items())

    @property
    def num_atoms_histogram(self) -> list[int]:
        """Training crystals by number of atoms, from 0."""
        return list(self.data_info.get("num_atoms_histogram", []))

    @property
    def sampler_network(self) -> ConditionedDenoiser:
        """The network with averaged weights."""
        return self.ema.module  # type: ignore[return-value]

    @property
    def model_hash(self) -> str:
        """Hash of the weights that sampling uses."""
        if self._hash is None or self.training:
            self._hash = state_hash(self.export_state())
        return self._hash

    # Training

    def set_data(self, crystals: CrystalBatch, data_info: dict[str, Any]) -> None:
        """Take statistics of conditions and latents from the whole training set."""
        self.data_info = {**data_info, "vae": self.vae.data_info}
        self.network.set_data(crystals)
        self._tell_prior()
        latents = encode(self.vae, crystals)[crystals.mask]
        self.latent_mean.copy_(latents.mean(dim=0))
        # A component that the VAE left unused is nearly constant; blown up to a standard deviation
        # of 1 it would be noise to learn.
        self.latent_std.copy_(latents.std(dim=0).clamp_min(0.1 * latents.std().item()))
        self.ema.module.load_state_dict(self.network.state_dict())

    def extend_data(self, crystals: CrystalBatch, data_info: dict[str, Any]) -> None:
        """Note the further training set of a model that was trained before."""
        self.data_info = {**self.data_info, **data_info, "elements": list(self.elements)}
        self.network.extend_data(crystals)
        self._tell_prior()
        self.ema.module.load_state_dict(self.network.state_dict())

    def replace_vae(self, vae: VAEModule) -> LDMModule:
        """Take another VAE, whose latents `set_data` has to see; return the module itself.

        Raises:
            ConfigError: if its latents differ in size.
        """
        check_sizes(vae, self.network.denoiser, self.diffusion)
        self.vae = vae.requires_grad_(False).eval()
        self.config = {**self.config, "vae": vae.config}
        self.data_info = {}
        return self

    def set_prior(self, prior: CompositionPrior) -> None:
        """Take an untrained prior of the compositions; `prepare` trains it.

        Raises:
            ConfigError: if it does not go with the model's conditions and sizes.
        """
        check_prior(prior, self.network, self.max_atoms)
        prior.build(self.network.properties)
        self.prior = prior.requires_grad_(False)

    def _tell_prior(self) -> None:
        if self.prior is not None:
            self.prior.take_data(self.network.properties)

    def prepare(
        self, train: LatentBatch, held_out: LatentBatch, report: Report | None = None
    ) -> None:
        """Train the composition prior, if there is one; the first thing in a new training run."""
        if self.prior is not None:
            known = self.element_mask()
            loss = fit_prior(self.prior, train, held_out, known, self.seed, report)
            self.data_info["prior_loss"] = loss

    def training_items(self, crystals: CrystalBatch) -> LatentBatch:
        """Encode crystals once, for all of the training."""
        encoded = self.network.encode(crystals, labels=True)
        return LatentBatch(crystals, self.training_latents(crystals), encoded)

    def training_latents(self, crystals: CrystalBatch) -> Tensor:
        """Return standardised latents (B, N, D), 0 where padded."""
        mask = crystals.mask.unsqueeze(-1).to(self.latent_mean.device)
        return (encode(self.vae, crystals) - self.latent_mean) / self.latent_std * mask

    def calculate_loss(
        self, batch: CrystalBatch | LatentBatch, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the denoising loss under `loss`, a mean over crystals.

        Args:
            batch: crystals, whose latents are computed now, or what `training_items` returned.
            generator: draws timesteps, noise and dropped conditions; None: seeded with `seed`.
        """
        generator = generator or torch_generator(self.seed)
        network = self.network if self.training else self.sampler_network
        if isinstance(batch, CrystalBatch):
            batch = self.training_items(batch)
        crystals, latents, mask = batch.crystals, batch.latents, batch.crystals.mask
        t = torch.randint(self.diffusion.timesteps, (len(batch),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        x_t = self.diffusion.q_sample(latents, t, noise)
        known, encoded = network.drop(crystals.atomic_numbers, batch.encoded, generator)
        embedded = network.embed(known, encoded)
        output = network(x_t, t.to(x_t.device), crystals.num_atoms, mask, embedded)
        loss = diffusion_loss(self.diffusion, output.float(), latents, t, noise, mask)
        return {"loss": loss.mean()}

    def training_step(self, batch: LatentBatch, batch_idx: int) -> Tensor:
        """Lightning's training step; all random numbers depend on seed and step alone."""
        parts = self.calculate_loss(batch, torch_generator(self.seed, 1, self.global_step))
        self.step_metrics = {name: value.detach() for name, value in parts.items()}
        return parts["loss"]

    def on_train_batch_end(self, *_: Any) -> None:
        """Update the averaged weights."""
        self.ema.update_parameters(self.network)

    def validation_metrics(self, batch: LatentBatch, index: int) -> dict[str, Tensor]:
        """Return the averaged weights' loss on a held-out batch, with noise that index decides."""
        return self.calculate_loss(batch, torch_generator(self.seed, 2, index))

    def configure_optimizers(self) -> Any:
        """Return optimiser and schedule for Lightning."""
        return self.optimizer.build(self.network.parameters())

    def train(self, mode: bool = True) -> LDMModule:
        """Switch the network's mode; VAE and averaged weights are always used as they are."""
        super().train(mode)
        self.vae.eval()
        self.ema.eval()
        return self

    # Saving and loading

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save configuration and data description beside the weights."""
        checkpoint["crystal_ldm"] = module_metadata(self)

    def export_state(self) -> dict[str, Tensor]:
        """Return what sampling needs: the averaged weights, not those in training."""
        return {n: t for n, t in self.state_dict().items() if not n.startswith("network.")}

    def import_state(self, state: dict[str, Tensor]) -> None:
        """Fill in a state of `export_state` or `state_dict`.

        Raises:
            RuntimeError: if names or shapes do not fit.
        """
        self.vae.config = self.config.get("vae", {})
        self.vae.data_info = self.data_info.get("vae", {})
        if not any(name.startswith("network.") for name in state):
            prefix = "ema.module."
            averaged = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
            state = {**state, **{f"network.{n}": t for n, t in averaged.items()}}
        self.load_state_dict(state)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, device: str = "cpu"
    ) -> LDMModule:
        """Load a Lightning `.ckpt` or a `.safetensors` file. No code in the file is executed.

        Raises:
            CheckpointError: if the file is missing, cut short or not an LDM of this project.
        """
        ldm = load_module(cls, Checkpoint.read(checkpoint_path), device)
        ldm.source = str(checkpoint_path)
        return ldm

    # Sampling

    def sample(
        self,
        batch: CrystalBatch | None = None,
        num_samples: int = 1,
        *,
        callback: Callable[[SamplerStep], None] | None = None,
        wanted: Callable[[int, int], bool] | None = None,
        **options: Any,
    ) -> SampleResult:
        """Generate `num_samples` crystals for each row of `batch`.

        Args:
            batch: requests (`CrystalBatch.from_formulas`, `from_num_atoms`); None: de novo, with
                numbers of atoms drawn as in the training set.
            num_samples: crystals a row.
            callback: called with a `SamplerStep` at each step; may raise `StopSampling`.
            wanted: called with row and number; crystals for which it is false are not made, and
                the others are what they would have been.
            options: fields of `SamplingOptions`: sampler, sampling_steps, eta, cfg_scale,
                cfg_interval, temperature, seed, batch_size, precision, offset, trajectory, ….

        Returns:
            The crystals, row by row. A crystal depends on seed, row and number alone, whatever the
            batch size.

        Raises:
            RequestError: for what the model was not trained for, naming what it can do.
        """
        batches = self.iter_sample(batch, num_samples, callback=callback, wanted=wanted, **options)
        results = list(batches)
        if not results:
            raise RequestError("Sampling was stopped before its first batch was finished.")
        return SampleResult.cat(results).in_order()

    def iter_sample(
        self,
        batch: CrystalBatch | None = None,
        num_samples: int = 1,
        *,
        callback: Callable[[SamplerStep], None] | None = None,
        wanted: Callable[[int, int], bool] | None = None,
        **options: Any,
    ) -> Iterator[SampleResult]:
        """Yield each finished batch of the crystals that `sample` returns; arguments as there."""
        from crystal_ldm.ldm_module.sampling import SamplingOptions, sample_batches

        made = SamplingOptions.make(options)
        return sample_batches(self, batch, num_samples, made, callback, wanted=wanted)

    def vary(
        self,
        crystals: CrystalBatch,
        strength: float = 0.5,
        num_samples: int = 1,
        keep_elements: bool = True,
        **options: Any,
    ) -> SampleResult:
        """Generate neighbours of known crystals: noise their latents part of the way and denoise.

        Args:
            crystals: where to start.
            strength: share of the diffusion time that is gone back, above 0 (the crystal itself) to
                1 (nothing of it is left).
            num_samples: neighbours of each crystal.
            keep_elements: whether the elements stay; False: the model chooses them too.
            options: see `sample`.

        Raises:
            RequestError: for a strength out of range, or crystals that the model does not know.
        """
        from crystal_ldm.ldm_module.variation import vary

        return vary(self, crystals, strength, num_samples, keep_elements, options)

    def interpolate(
        self, first: CrystalBatch, second: CrystalBatch, steps: int = 8
    ) -> CrystalBatch:
        """Decode `steps` points on the straight line between the latents of two crystals.

        Raises:
            RequestError: unless both have the same number of atoms.
        """
        from crystal_ldm.ldm_module.variation import interpolate

        return interpolate(self, first, second, steps)
