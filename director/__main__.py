"""`python -m director` is `longtake`."""

from .cli import main

main()
