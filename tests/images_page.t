#!/usr/bin/python3
"""images_page.t -- every block of docs/images.md is true: programs run, commands and the prompt print what the page shows."""
import sys

sys.dont_write_bytecode = True
import page

page.test("images.md", ("evla", "plugins/image.so", "plugins/ops.so"))
