"""Recipes: what a set of generated crystals depends on, and the same crystals from it again."""

from crystal_ldm.recipe.execution import from_recipe, order_of_recipe
from crystal_ldm.sampling.recipe import (
    check_recipe,
    embed_recipe,
    make_recipe,
    read_recipe,
    recipe_hash,
    versions,
    write_recipe,
)

__all__ = [
    "check_recipe",
    "embed_recipe",
    "from_recipe",
    "make_recipe",
    "order_of_recipe",
    "read_recipe",
    "recipe_hash",
    "versions",
    "write_recipe",
]
