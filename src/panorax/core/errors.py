"""Errors that end a run early: wrong input (one line, exit code 2), or a signal."""

import signal


class UserError(Exception):
    """Wrong input. The message is one line: the fault, and the accepted values."""

    def __init__(self, message: str):
        # The message may quote a file of unknown content.
        super().__init__("".join(c if c.isprintable() else " " for c in message))


class Interrupted(Exception):
    """A signal stopped a run, which saved everything up to `step`. Exit code: 128 + signal."""

    def __init__(self, number: int, step: int):
        stopped = "interrupted" if number == signal.SIGINT else f"stopped by signal {number}"
        super().__init__(f"{stopped} after step {step}; everything is saved")
        self.signal, self.step = number, step
