#!/usr/bin/python3
"""pipeline_page.t -- every block of docs/write-a-pipeline.md is true: programs run, commands print what the page shows."""
import sys

sys.dont_write_bytecode = True
import page

page.test("write-a-pipeline.md", ("evla", "plugins/mujoco.so", "plugins/hdf5.so", "plugins/image.so", "plugins/sanity.so", "plugins/replay.so"))
