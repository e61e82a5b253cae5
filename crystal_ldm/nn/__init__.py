"""What every network here shares: layers, optimiser, the training step, checkpoints, compiling."""
