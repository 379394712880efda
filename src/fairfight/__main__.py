"""`python -m fairfight` is `fairfight`."""

from fairfight.cli import main

main()
