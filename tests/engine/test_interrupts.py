"""Signals while the main thread cannot run Python, as during a long chunk of steps."""

import os
import signal
import subprocess
import sys

import pytest

from panorax.engine.interrupts import Interrupts

PROGRAM = """
import hashlib, os, signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
from panorax.engine.interrupts import Interrupts
with Interrupts(lambda line: print(line, flush=True)) as interrupts:
    print("ready", flush=True)
    for _ in range(60):  # no handler of Python runs until this function of C returns
        hashlib.pbkdf2_hmac("sha256", b"", b"", ROUNDS)
        if interrupts.received:
            os._exit(7)
"""


def command(rounds):
    return [sys.executable, "-c", PROGRAM.replace("ROUNDS", str(rounds))]


def test_the_first_signal_is_said_at_once_and_the_second_ends_a_busy_process():
    process = subprocess.Popen(command(100_000_000), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    line = "interrupted: saving after this chunk; a second signal stops at once\n"
    assert process.stdout.readline() == line and process.poll() is None
    process.send_signal(signal.SIGTERM)
    # the latter if the first signal came before the function
    assert process.wait(20) in (128 + signal.SIGTERM, -signal.SIGTERM)
    process.stdout.close()


def test_sighup_ends_output_to_the_terminal_that_has_closed():
    ours, terminal = os.openpty()
    process = subprocess.Popen(
        command(100_000), stdout=terminal, stderr=terminal, start_new_session=True
    )
    with open(os.dup(ours), "rb", buffering=0) as screen:
        assert screen.readline() == b"ready\r\n"
    os.close(terminal)
    process.send_signal(signal.SIGHUP)
    os.close(ours)
    assert process.wait(20) == 7  # printing would have raised OSError


def test_under_nohup_sighup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts(pytest.fail) as interrupts:
            signal.raise_signal(signal.SIGHUP)
        assert interrupts.received == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_restored():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)]
    with Interrupts(print):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)] == before
