"""Round about a crystal or a request: neighbours, paths, grids, maps."""
