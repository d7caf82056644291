"""The one exception for a user's mistake: the command line prints its message as one line and exits with code 2."""


class UserError(Exception):
    """Wrong input from outside. The message says in one line what was wrong and what is accepted."""
