#!/usr/bin/python3
"""language_page.t -- every block of docs/language-models.md is true: programs run, commands and the prompt print what the page shows."""
import sys

sys.dont_write_bytecode = True
import page

page.test("language-models.md", ("evla", "plugins/gguf.so", "plugins/tokenizer.so", "plugins/generate.so", "plugins/ops.so"))
