"""What a person asks for: formula, elements, properties, guidance, sampler, seed."""
