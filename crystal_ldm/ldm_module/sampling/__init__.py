"""From a request to crystals."""
