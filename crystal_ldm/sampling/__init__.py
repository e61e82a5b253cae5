"""From a request to crystals: start, elements, solver, guidance, filters, result."""
