"""What a system is: state, spec, net, step, config, claims, optimisers."""
