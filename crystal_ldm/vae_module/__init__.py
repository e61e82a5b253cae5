"""The variational autoencoder."""

from crystal_ldm.vae_module.encoder_decoder import Decoder, DecoderOutput, Encoder
from crystal_ldm.vae_module.vae_module import VAEModule

__all__ = ["Decoder", "DecoderOutput", "Encoder", "VAEModule"]
