"""Streams for tests of what a command prints."""

import io


class Pieces(io.StringIO):
    """A stream that keeps every written piece."""

    def __init__(self):
        super().__init__()
        self.pieces = []

    def write(self, text):
        self.pieces.append(text)
        return super().write(text)
