"""The one exception that means the user's input was bad, and nothing else."""


class InputError(ValueError):
    """Bad input: one clear line that names the file or argument, what was found, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """
