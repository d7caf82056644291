"""What every system shares and no model knows: state, spec, step, loop, config, data, checkpoint, metrics."""
