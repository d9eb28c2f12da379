#!/usr/bin/python3
"""recipes_page.t -- every block of docs/recipes.md is true: programs run, commands print what the page shows."""
import sys

sys.dont_write_bytecode = True
import page

page.test("recipes.md", ("evla", "plugins/mujoco.so", "plugins/hdf5.so", "plugins/ops.so", "plugins/int8.so"))
