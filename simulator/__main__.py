"""`python -m simulator`."""

from simulator.cli.main import main

main()
