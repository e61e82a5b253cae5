"""What is done with crystals: generate, look through, compare, vary, export, watch a training."""
