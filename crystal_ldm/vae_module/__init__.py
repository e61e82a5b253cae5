"""The variational autoencoder."""

from crystal_ldm.vae_module.decoder import Decoder, DecoderOutput
from crystal_ldm.vae_module.encoder import Encoder
from crystal_ldm.vae_module.vae_module import VAEModule

__all__ = ["Decoder", "DecoderOutput", "Encoder", "VAEModule"]
