"""The commands of `panorax`, a file each: `add(commands)` declares the options, `main(args)` runs it and returns the exit code."""
