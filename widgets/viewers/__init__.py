"""Pictures of crystals: in the notebook, in a figure, and as a denoising trajectory."""
