"""Records SIGINT and SIGTERM for the training loop, which saves after the chunk and then stops."""

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Context manager that records the first signal in `received`, which is 0 until then.

    A second signal ends the process at once. Only the main thread can handle signals in Python; in
    any other thread this records nothing.
    """

    def __init__(self):
        self.received = 0
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._record) for number in SIGNALS}
        return self

    def __exit__(self, *exc):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _record(self, number, frame):
        self.received = number
        for handled in SIGNALS:
            signal.signal(handled, signal.SIG_DFL)
