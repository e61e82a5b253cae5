"""The notebooks, installed as `crystal_ldm.notebooks`: `crystal-ldm lab` copies them from here."""
