"""The command line: one file per command, with `add(commands)` and `main(args) -> exit code`."""
