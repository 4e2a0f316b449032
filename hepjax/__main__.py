"""`python -m hepjax` is the command line."""

from hepjax.cli.app import entry

if __name__ == "__main__":
    entry()
