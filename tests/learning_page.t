#!/usr/bin/python3
"""learning_page.t -- every block of docs/learning.md is true: models learn, a killed run goes on, DAgger's rounds run."""
import sys

sys.dont_write_bytecode = True
import page

page.test("learning.md", ("evla", "plugins/mujoco.so", "plugins/hdf5.so", "plugins/ops.so", "plugins/half.so"))
