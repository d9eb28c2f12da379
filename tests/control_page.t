#!/usr/bin/python3
"""control_page.t -- every block of docs/control-loop.md is true: a policy at two rates, on both clocks and in the hand."""
import sys

sys.dont_write_bytecode = True
import page

page.test("control-loop.md", ("evla", "plugins/mujoco.so", "plugins/hdf5.so", "plugins/image.so", "plugins/ops.so", "plugins/causal.so"))
