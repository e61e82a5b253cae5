"""Recipes: what a set of generated crystals depends on, and the same crystals from it again."""

from crystal_ldm.recipe.execution import (
    arguments_of_recipe,
    from_recipe,
    makes_crystals_of,
    model_of_recipe,
    order_of_recipe,
)
from crystal_ldm.sampling.recipe import recipe_hash
from crystal_ldm.sampling.recipe_files import embed_recipe, read_recipe

__all__ = [
    "arguments_of_recipe",
    "embed_recipe",
    "from_recipe",
    "makes_crystals_of",
    "model_of_recipe",
    "order_of_recipe",
    "read_recipe",
    "recipe_hash",
]
