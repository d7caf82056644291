"""Contenders without dependencies: they sleep, print, note their turns, or fail."""

import os
import time


def steady(settings, folder):
    return {"settings": settings, "compile_seconds": 0.5, "version": "1"}, lambda: _sleep(0.02, 3)


def half(settings, folder):
    return {"version": "2"}, lambda: _sleep(0.04, 3)


def noted(settings, folder):
    def work():
        with open(folder / "turns", "a") as file:
            file.write(f"{os.getpid()} ")
        return 1

    return {}, work


def without_package(settings, folder):
    import a_package_that_does_not_exist  # noqa: F401


def broken(settings, folder):
    raise ValueError("two and two are five")


def fails_at_work(settings, folder):
    return {}, lambda: 1 / 0


def prints(settings, folder):
    def work():
        print("working")
        return 1

    print("welcome to a library that prints")
    return {}, work


def _sleep(seconds, units):
    time.sleep(seconds)
    return units
