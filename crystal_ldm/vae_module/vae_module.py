"""`VAEModule`: crystals to one latent vector per atom, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crystal_ldm.config.numbers import Natural, NotNegative, Positive
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.lattice import lattice_to_log, log_to_lattice, scale_by_atoms
from crystal_ldm.crystals.padding import atom_mask
from crystal_ldm.errors import ConfigError, RequestError
from crystal_ldm.nn.optimizer import Optimizer
from crystal_ldm.nn.trained_module import TrainedModule
from crystal_ldm.random import torch_generator
from crystal_ldm.vae_module.correction import correct
from crystal_ldm.vae_module.encoder_decoder import Decoder, DecoderOutput, Encoder
from crystal_ldm.vae_module.losses import (
    VAEItems,
    axis_scale,
    coordinate_loss,
    element_loss,
    extra_noise,
    kl_divergence,
    known_pattern,
    lattice_loss,
    randn_like,
)


class VAEModule(TrainedModule):
    """KL-regularised variational autoencoder of crystals (Kingma & Welling 2014).

    Args:
        encoder, decoder: the two transformers; their `latent_dim` must agree.
        kl_weight: factor on the KL divergence (nats per atom).
        element_weight, coordinate_weight, lattice_weight: factors on the reconstruction losses.
        coordinate_beta: where the coordinate loss turns from square to linear, radians times the
            axis length over (V/n)^(1/3).
        lattice_beta: the same for the lattice loss, standard deviations.
        latent_noise: half of the training crystals get Gaussian noise on their latents, of a
            standard deviation drawn from 0 to this, so that the decoder forgives what a diffusion
            model gets slightly wrong.
        freeze_encoder: train the decoder alone: latents, and with them every LDM trained on them,
            stay as they are (see `LDMModule.replace_vae`).
        optimizer: learning rate and its schedule.
        seed: seed of all random numbers in training.

    Raises:
        ConfigError: if encoder and decoder differ in `latent_dim`.
    """

    kind = "vae"

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        kl_weight: NotNegative = 1e-3,
        element_weight: NotNegative = 1.0,
        coordinate_weight: NotNegative = 1.0,
        lattice_weight: NotNegative = 1.0,
        coordinate_beta: Positive = 0.3,
        lattice_beta: Positive = 0.3,
        latent_noise: NotNegative = 0.2,
        freeze_encoder: bool = False,
        optimizer: Optimizer | None = None,
        seed: Natural = 0,
    ) -> None:
        super().__init__()
        if encoder.out.out_features != 2 * decoder.latent.in_features:
            raise ConfigError(
                f"The encoder's latent_dim is {encoder.out.out_features // 2} and the decoder's "
                f"{decoder.latent.in_features}: they must agree."
            )
        self.encoder = encoder.requires_grad_(not freeze_encoder)
        self.decoder = decoder
        self.kl_weight = kl_weight
        self.element_weight = element_weight
        self.coordinate_weight = coordinate_weight
        self.lattice_weight = lattice_weight
        self.coordinate_beta = coordinate_beta
        self.lattice_beta = lattice_beta
        self.latent_noise = latent_noise
        self.optimizer = optimizer or Optimizer()
        self.seed = seed
        self.config: dict[str, Any] = {}
        self.data_info: dict[str, Any] = {}
        self.register_buffer("lattice_mean", torch.zeros(6))
        self.register_buffer("lattice_std", torch.ones(6))
        self.lattice_mean: Tensor
        self.lattice_std: Tensor

    @property
    def latent_dim(self) -> int:
        """Components of an atom's latent vector."""
        return self.decoder.latent.in_features

    @property
    def max_atoms(self) -> int:
        """Most atoms in a cell."""
        parts = self.encoder, self.decoder
        return min(part.position.place.num_embeddings for part in parts)

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements that the model was trained on."""
        return tuple(self.data_info.get("elements", symbols()[1:]))

    def set_data(self, batch: CrystalBatch, data_info: dict[str, Any]) -> None:
        """Take the lattice's mean and spread from the training set, and note what it holds."""
        standard = self._log_lattice(batch)
        self.lattice_mean.copy_(standard.mean(dim=0))
        self.lattice_std.copy_(standard.std(dim=0).clamp_min(0.02))
        self.data_info = data_info

    def extend_data(self, batch: CrystalBatch, data_info: dict[str, Any]) -> None:
        """Note the further training set of a model that was trained before."""
        self.data_info = {**self.data_info, **data_info, "elements": list(self.elements)}

    def _posterior(self, items: VAEItems) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z | crystal), each (B, N, latent_dim)."""
        atoms = items.crystals
        return self.encoder(
            atoms.atomic_numbers, atoms.frac_coords, items.lattice, atoms.num_atoms, atoms.mask
        )

    def encode(self, batch: CrystalBatch) -> Tensor:
        """Return the latents (B, N, latent_dim): the posterior's mean, 0 where padded.

        Raises:
            RequestError: if a crystal has too many atoms or an element the model does not know.
        """
        self.check(batch)
        mean, _ = self._posterior(self.training_items(batch))
        return mean * batch.mask.unsqueeze(-1)

    def has_encoder_of(self, other: VAEModule) -> bool:
        """Whether both encode every crystal into the very same latents."""
        ours, theirs = (
            {"mean": vae.lattice_mean, "std": vae.lattice_std, **vae.encoder.state_dict()}
            for vae in (self, other)
        )
        return ours.keys() == theirs.keys() and all(
            torch.equal(tensor, theirs[name]) for name, tensor in ours.items()
        )

    def decode(
        self,
        latents: Tensor,
        num_atoms: Tensor,
        atomic_numbers: Tensor | None = None,
        allowed: Tensor | None = None,
        corrections: int = 0,
    ) -> CrystalBatch:
        """Turn latents (B, N, latent_dim) into crystals; every row becomes a closed cell.

        Args:
            num_atoms: (B,).
            atomic_numbers: (B, N), elements that are known and imposed; 0 or None: the decoder's.
            allowed: (B, 119) or (119,) bool, what the decoder may choose from; None: `elements`.
            corrections: how often a crystal is encoded again and decoded from latents that make up
                for the difference (see `vae_module.correction`). For latents that are a crystal's
                own; those of a diffusion model are not exact enough to gain by it.

        Raises:
            RequestError: if `corrections` is no whole number of at least 0, or is above 0 where
                imposed elements are none of the VAE's.
        """
        if atomic_numbers is None:
            atomic_numbers = torch.zeros(latents.shape[:2], dtype=torch.long, device=latents.device)

        def decode(z: Tensor) -> CrystalBatch:
            output = self.decoder_output(z, num_atoms, atomic_numbers)
            return self.to_crystals(output, num_atoms, atomic_numbers, allowed)

        return correct(decode, self.encode, latents, corrections)

    def decoder_output(
        self, latents: Tensor, num_atoms: Tensor, atomic_numbers: Tensor
    ) -> DecoderOutput:
        """Return the decoder's raw output; arguments as for `decode`."""
        mask = atom_mask(num_atoms, latents.shape[1])
        return self.decoder(latents, atomic_numbers, num_atoms, mask)

    def to_crystals(
        self,
        output: DecoderOutput,
        num_atoms: Tensor,
        atomic_numbers: Tensor,
        allowed: Tensor | None = None,
    ) -> CrystalBatch:
        """Read crystals off the decoder's output; arguments as for `decode`."""
        mask = atom_mask(num_atoms, atomic_numbers.shape[1])
        chosen = self.choose_elements(output.element_logits, allowed)
        voigt = output.lattice.float() * self.lattice_std + self.lattice_mean
        return CrystalBatch(
            atomic_numbers=torch.where(atomic_numbers > 0, atomic_numbers, chosen) * mask,
            num_atoms=num_atoms,
            frac_coords=torch.nan_to_num(output.frac_coords.float()) * mask.unsqueeze(-1),
            lattices=log_to_lattice(scale_by_atoms(voigt, num_atoms, sign=1)),
        )

    def choose_elements(self, logits: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return the likeliest element (B, N) among `allowed` (see `decode`)."""
        if allowed is None:
            allowed = self.element_mask().to(logits.device)
        if allowed.ndim == 2:
            allowed = allowed.unsqueeze(1)
        return logits.masked_fill(~allowed, -torch.inf).argmax(dim=-1)

    def reconstruct(self, batch: CrystalBatch, corrections: int = 2) -> CrystalBatch:
        """Encode and decode crystals, elements included: nothing is imposed.

        `corrections`: see `decode`; 0: the decoder's first answer.
        """
        crystals = self.decode(self.encode(batch), batch.num_atoms, corrections=corrections)
        crystals.conditions, crystals.ids = batch.conditions, batch.ids
        return crystals

    def sample(self, num_atoms: Tensor, seed: int = 0) -> CrystalBatch:
        """Decode draws from the prior, a standard normal; crystals of (B,) atoms."""
        width = int(num_atoms.max())
        noise = torch.randn(len(num_atoms), width, self.latent_dim, generator=torch_generator(seed))
        return self.decode(noise.to(self.lattice_mean), num_atoms.to(self.lattice_mean.device))

    def calculate_loss(
        self, batch: CrystalBatch | VAEItems, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the loss and its parts, each a mean over crystals, under `loss`, `element`, ….

        `batch` holds crystals, or is what `training_items` returned. `generator` draws the noise;
        None: one seeded with the module's seed.
        """
        generator = generator or torch_generator(self.seed)
        if isinstance(batch, CrystalBatch):
            self.check(batch)
            batch = self.training_items(batch)
        atoms = batch.crystals
        mean, log_variance = self._posterior(batch)
        latents = mean + (0.5 * log_variance).exp() * randn_like(mean, generator)
        latents = latents + extra_noise(latents, self.latent_noise, generator)
        known = atoms.atomic_numbers * known_pattern(atoms, generator)
        output = self.decoder(latents, known, atoms.num_atoms, atoms.mask)

        assert atoms.frac_coords is not None
        parts = {
            "element": element_loss(output, atoms.atomic_numbers, atoms.mask),
            "coordinate": coordinate_loss(
                output, atoms.frac_coords, atoms.mask, batch.axis_scale, self.coordinate_beta
            ),
            "lattice": lattice_loss(output, batch.lattice, self.lattice_beta),
            "kl": kl_divergence(mean, log_variance, atoms.mask),
        }
        means = {name: value.mean() for name, value in parts.items()}
        means["loss"] = (
            self.element_weight * means["element"]
            + self.coordinate_weight * means["coordinate"]
            + self.lattice_weight * means["lattice"]
            + self.kl_weight * means["kl"]
        )
        return means

    def training_items(self, crystals: CrystalBatch) -> VAEItems:
        """Compute once, for all of the training, what the losses need of each crystal."""
        assert crystals.lattices is not None
        atoms = CrystalBatch(crystals.atomic_numbers, crystals.num_atoms, crystals.frac_coords)
        lattice = (self._log_lattice(crystals) - self.lattice_mean) / self.lattice_std
        return VAEItems(atoms, lattice, axis_scale(crystals.lattices, crystals.num_atoms))

    def check(self, batch: CrystalBatch) -> None:
        """Raise `RequestError` unless the model knows the elements and sizes of the crystals."""
        if batch.frac_coords is None:
            raise RequestError(
                "The VAE encodes crystals; this batch holds requests without geometry."
            )
        self.check_atoms(batch)

    def _log_lattice(self, batch: CrystalBatch) -> Tensor:
        assert batch.lattices is not None
        return scale_by_atoms(lattice_to_log(batch.lattices), batch.num_atoms)
