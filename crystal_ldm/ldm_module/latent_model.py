"""The parts of an LDM, what they know of the training set, and their way into files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from crystal_ldm.config.numbers import Natural, Share
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import ConfigError
from crystal_ldm.ldm_module.added_conditions import forget_former_weights, freeze_trained
from crystal_ldm.ldm_module.composition_model import CompositionModel, CompositionTraining
from crystal_ldm.ldm_module.denoisers import DiT
from crystal_ldm.ldm_module.diffusion import GaussianDiffusion
from crystal_ldm.ldm_module.latents import LatentBatch, encode
from crystal_ldm.ldm_module.network import ConditionedDenoiser
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.nn.average import running_average
from crystal_ldm.nn.checkpoints import (
    former_name,
    state_hash,
    with_names_of_today,
)
from crystal_ldm.nn.optimizer import Optimizer
from crystal_ldm.nn.trained_module import TrainedModule
from crystal_ldm.vae_module import VAEModule


class LatentModel(TrainedModule):
    """What an LDM is made of: a frozen VAE, a denoiser, conditions, a composition model.

    See `LDMModule`.

    Holds the statistics of the training set and its crystals (`training_crystals`), and is what a
    checkpoint stores.

    Raises:
        ConfigError: if the latents of VAE and denoiser differ in size, or the composition model
            does not fit.

    Args:
        vae: the trained VAE. It is frozen and travels inside the checkpoint.
        denoiser: the network that is trained.
        diffusion: the process.
        conditions: by name, in the order in which guidance adds them.
        composition_model: draws the elements of open atoms before their latents are made; None:
            the decoder reads the elements from the latents.
        dropout: share of each block's output channels that a training step leaves out.
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
        composition_model: CompositionModel | None = None,
        dropout: Share = 0.0,
        ema_decay: Share = 0.9995,
        optimizer: Optimizer | None = None,
        seed: Natural = 0,
    ) -> None:
        super().__init__()
        _check_sizes(vae, denoiser, diffusion)
        self.vae = vae.requires_grad_(False).eval()
        self.network = ConditionedDenoiser(denoiser, dict(conditions or {}))
        self.training_crystals = TrainingCrystals()
        self.composition_model: CompositionModel | None = None
        if composition_model is not None:
            self.set_composition_model(composition_model)
        self.ema_decay = ema_decay
        self.ema = running_average(self.network, ema_decay)
        self.added: tuple[str, ...] = ()
        self.diffusion = diffusion
        self.dropout = dropout
        self.optimizer = optimizer or Optimizer()
        self.seed = seed
        self.config: dict[str, Any] = {}
        self.data_info: dict[str, Any] = {}
        self._hash: str | None = None
        self.register_buffer("latent_mean", torch.zeros(vae.latent_dim))
        self.register_buffer("latent_std", torch.ones(vae.latent_dim))
        self.latent_mean: Tensor
        self.latent_std: Tensor

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements that the model knows, by atomic number."""
        return tuple(self.data_info.get("elements", self.vae.elements))

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
        """Hash of the weights that sampling uses; that of the crystals is theirs."""
        if self._hash is None or self.training:
            weights = {
                former_name(name): tensor
                for name, tensor in self.export_state().items()
                if not name.startswith("training_crystals.")
            }
            self._hash = state_hash(weights)
        return self._hash

    @property
    def hashes(self) -> tuple[str, ...]:
        """`model_hash`, and those of the models that it was before conditions were added to it with
        all other weights frozen: it makes their crystals."""
        return (self.model_hash, *self.data_info.get("earlier_hashes", ()))

    # What the training set is like

    def set_data(self, crystals: CrystalBatch, data_info: dict[str, Any]) -> None:
        """Take statistics of conditions and latents from the whole training set."""
        self.data_info = {**data_info, "vae": self.vae.data_info}
        self.training_crystals.add(crystals)
        self.network.set_data(crystals)
        self._tell_composition_model()
        latents = encode(self.vae, crystals)[crystals.mask]
        self.latent_mean.copy_(latents.mean(dim=0))
        # A component that the VAE left unused is nearly constant; blown up to a standard deviation
        # of 1 it would be noise to learn.
        self.latent_std.copy_(latents.std(dim=0).clamp_min(0.1 * latents.std().item()))
        self.ema.module.load_state_dict(self.network.state_dict())

    def extend_data(self, crystals: CrystalBatch, data_info: dict[str, Any]) -> None:
        """Note the further training set of a model that was trained before.

        Elements and numbers of atoms stay the model's.

        Raises:
            DataError: if the labels of added conditions are missing or cannot be used.
        """
        kept = {"elements": list(self.elements), "num_atoms_histogram": self.num_atoms_histogram}
        self.network.extend_data(crystals, self.added)
        self.data_info = {**self.data_info, **data_info, **kept}
        self.training_crystals.add(crystals)
        self._tell_composition_model()
        self.ema.module.load_state_dict(self.network.state_dict())

    def replace_vae(self, vae: VAEModule) -> Self:
        """Take another VAE and return the module itself.

        Where its encoder is the old one (a VAE trained with `freeze_encoder`), latents stay what
        they were, and the model can be used at once. Else `set_data` has to see the new latents.

        Raises:
            ConfigError: if its latents differ in size.
        """
        _check_sizes(vae, self.network.denoiser, self.diffusion)
        same_latents = vae.has_encoder_of(self.vae)
        self.vae = vae.requires_grad_(False).eval()
        self.config = {**self.config, "vae": vae.config}
        if same_latents:
            self.data_info = {**self.data_info, "vae": vae.data_info}
        else:  # every weight has to learn, not those of added conditions alone
            self.data_info, self.added = {}, ()
        self.forget_hash()
        return self

    def set_composition_model(self, composition_model: CompositionModel) -> None:
        """Take an untrained composition model; `prepare` trains it.

        Raises:
            ConfigError: if it does not go with the model's conditions and sizes.
        """
        if self.network.composition is None:
            raise ConfigError(
                "A composition model needs a denoiser that knows compositions: add the condition "
                "`composition: {_target_: Composition}`, or leave out `composition_model`."
            )
        if composition_model.max_atoms < self.max_atoms:
            raise ConfigError(
                f"The composition model's max_atoms is {composition_model.max_atoms}, fewer than "
                f"the model's {self.max_atoms}: set ldm_module.composition_model.max_atoms="
                f"{self.max_atoms}."
            )
        composition_model.build(self.network.properties)
        self.composition_model = composition_model.requires_grad_(False)

    def choose_weights(self, freeze: bool) -> None:
        """See `TrainedModule.choose_weights`; new weights are those of added conditions."""
        if freeze and self.added:
            freeze_trained(self)
        else:
            forget_former_weights(self)

    def forget_hash(self) -> None:
        """Compute `model_hash` anew: the weights have changed."""
        self._hash = None

    def _tell_composition_model(self) -> None:
        if self.composition_model is not None:
            self.composition_model.take_data(self.network.properties)

    def composition_training(
        self, train: LatentBatch, held_out: LatentBatch
    ) -> CompositionTraining | None:
        """Return the training of the composition model; None without one."""
        if self.composition_model is None:
            return None
        return CompositionTraining(
            self.composition_model, train, held_out, self.element_mask(), self.seed, self.added
        )

    def training_items(self, crystals: CrystalBatch) -> LatentBatch:
        """Encode crystals once, for all of the training."""
        encoded = self.network.encode(crystals, labels=True)
        atoms = CrystalBatch(crystals.atomic_numbers, crystals.num_atoms)
        return LatentBatch(atoms, self.training_latents(crystals), encoded)

    def training_latents(self, crystals: CrystalBatch) -> Tensor:
        """Return standardised latents (B, N, D), 0 where padded."""
        mask = crystals.mask.unsqueeze(-1).to(self.latent_mean.device)
        return (encode(self.vae, crystals) - self.latent_mean) / self.latent_std * mask

    def vae_latents(self, standardised: Tensor) -> Tensor:
        """Return latents (B, N, D) as the VAE has them; see `training_latents`."""
        return standardised.float() * self.latent_std + self.latent_mean

    # Saving and loading

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """Fill in a state, as PyTorch does; names of before are understood."""
        return super().load_state_dict(with_names_of_today(state_dict), *args, **options)

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
        prefix = "ema.module."
        averaged = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        state = {**state, **{f"network.{name}": tensor for name, tensor in averaged.items()}}
        self.load_state_dict(state)


def _check_sizes(vae: VAEModule, denoiser: DiT, diffusion: GaussianDiffusion) -> None:
    """Raise `ConfigError` unless VAE, denoiser and diffusion agree on the size of a latent."""
    wanted = {
        "latent_dim": (denoiser.input.in_features, vae.latent_dim),
        "output_dim": (denoiser.output.out_features, diffusion.output_dim(vae.latent_dim)),
    }
    for name, (has, needs) in wanted.items():
        if has != needs:
            raise ConfigError(
                f"The denoiser's {name} is {has} and must be {needs}: the VAE's latents have "
                f"{vae.latent_dim} components and the variance is {diffusion.variance}. "
                f"Set ldm_module.denoiser.{name}={needs}."
            )
