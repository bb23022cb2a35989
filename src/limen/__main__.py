"""`python -m limen`: the same as the command `limen`."""

from limen.cli import main

if __name__ == "__main__":  # worker processes import this module again
    main()
