"""Small parts that run in the browser, each a Python class beside its script."""
