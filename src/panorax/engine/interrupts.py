"""Records SIGINT, SIGTERM and SIGHUP for the training loop, which saves and then stops."""

import os
import signal
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Context manager that records the first signal in `received`, which is 0 until then.

    say: function that a thread calls at once with a line for the user, also while the main thread
    waits for a device, which delays Python's handlers.

    A second signal ends the process at once. A terminal that closes sends SIGHUP, which also ends
    output to it; a process that ignores SIGHUP, as under nohup, continues. Only the main thread can
    handle signals in Python; in any other thread this records nothing.
    """

    def __init__(self, say: Callable[[str], None]):
        self.received = 0
        self._say = say
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            self._before = {
                number: signal.signal(number, self._record)
                for number in SIGNALS
                if not (number == signal.SIGHUP and ignored)
            }
            self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
            self._numbers, written = os.pipe()
            os.set_blocking(written, False)
            self._wakeup = signal.set_wakeup_fd(written, warn_on_full_buffer=False), written
            threading.Thread(target=self._announce, daemon=True).start()
        return self

    def __exit__(self, *exc):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            before, written = self._wakeup
            signal.set_wakeup_fd(before)
            os.close(written)  # ends the thread

    def _record(self, number, frame):
        self.received = number
        for handled in self._before:
            signal.signal(handled, signal.SIG_DFL)

    def _announce(self):
        """Reads the numbers of signals as they arrive: says the first, ends at the second."""
        with open(self._numbers, "rb", buffering=0) as pipe:
            numbers = (number for [number] in iter(lambda: pipe.read(1), b"") if number in SIGNALS)
            for number in numbers:
                if number == signal.SIGHUP:
                    nowhere = os.open(os.devnull, os.O_WRONLY)
                    for descriptor in self._terminals:
                        os.dup2(nowhere, descriptor)
                name = signal.Signals(number).name
                reason = "interrupted" if number == signal.SIGINT else f"received {name}"
                self._say(f"{reason}: saving after this chunk; a second signal stops at once")
                break
            for number in numbers:
                os._exit(128 + number)
