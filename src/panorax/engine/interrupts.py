"""SIGINT and SIGTERM, remembered for the loop, which saves between chunks before it stops."""

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, the first of either signal is remembered in `received` (0 before it) and does nothing else; a second ends the process at once.

    Python delivers signals to the main thread, so in any other one this changes nothing.
    """

    def __init__(self):
        self.received = 0
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in SIGNALS}
        return self

    def __exit__(self, *exc):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number, frame):
        self.received = number
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
