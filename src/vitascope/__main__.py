"""`python -m vitascope` is the `vitascope` command."""

from vitascope.cli.main import main

main()
