"""The two ways in which a run ends early: wrong input (one line, exit code 2) and a signal."""


class UserError(Exception):
    """Wrong input from outside. The message is one line: what was wrong and what is accepted."""

    def __init__(self, message: str):
        super().__init__(
            "".join(c if c.isprintable() else " " for c in message)
        )  # it may quote a file of unknown content


class Interrupted(Exception):
    """A signal stopped a run after it saved everything up to `step`; the exit code is 128 + signal."""

    def __init__(self, signal: int, step: int):
        super().__init__(f"stopped by signal {signal} after step {step}")
        self.signal, self.step = signal, step
