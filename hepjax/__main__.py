"""`python -m hepjax` is the command line."""

from hepjax.cli import entry

if __name__ == "__main__":
    entry()
