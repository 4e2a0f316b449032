"""`python -m hepjax` is the command line."""

from hepjax.cli import main

if __name__ == "__main__":
    main()
