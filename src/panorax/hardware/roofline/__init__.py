"""The roofline: what limits a kernel, the machine's arithmetic or its memory."""
