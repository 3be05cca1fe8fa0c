"""The steps of the recipe, one function each: `check_<number>_<name>(...) -> (value, evidence)`, or it raises.

The recipe itself, numbered, is in verifier/recipe.py.
"""
