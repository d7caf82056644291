"""How a run ends early: a user's mistake, which the command line prints as one line with exit code 2, or a signal."""


class UserError(Exception):
    """Wrong input from outside. The message says in one line what was wrong and what is accepted."""

    def __init__(self, message: str):
        super().__init__(
            "".join(c if c.isprintable() else " " for c in message)
        )  # it may quote a stranger's file


class Interrupted(Exception):
    """A run was asked to stop by a signal, and has saved everything up to `step`; the exit code is 128 + signal."""

    def __init__(self, signal: int, step: int):
        super().__init__(f"stopped by signal {signal} after step {step}")
        self.signal, self.step = signal, step
