"""Run the command line as `python -m llm_hoster`."""

from llm_hoster.cli import main

main()
