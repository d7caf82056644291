"""Core defines a system: state, spec, net, step, config, claims, optimisers."""
