"""`python -m stepwell`: the command."""

from stepwell.cli import main

main()
