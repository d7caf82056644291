import jax
import jax.numpy as jnp
import pytest

from panorax.maths.partial_sums import partial_sums


def test_sums_over_the_axis_that_devices_split_are_partial():
    def program(table, token, up, down):
        h = jax.lax.scan(lambda h, _: (jax.nn.relu(h @ up) @ down, None), table[token], length=3)[0]
        return jax.nn.logsumexp(h @ table.T, -1)

    traced = lambda vocab, hidden: jax.make_jaxpr(program)(
        jnp.zeros((vocab, 4)), jnp.zeros(5, int), jnp.zeros((4, hidden)), jnp.zeros((hidden, 4))
    )
    whole = traced(12, 6)
    partial = lambda part: [(x.shape, n) for x, n in partial_sums(whole, part)]
    assert partial(whole) == []
    assert partial(traced(12, 2)) == [((5, 4), 3)]  # a row-parallel product in each iteration
    assert partial(traced(4, 6)) == [((5, 4), 1), ((5,), 1), ((5,), 1)]  # lookup, maximum, sum
    with pytest.raises(ValueError, match="zip"):
        partial_sums(whole, jax.make_jaxpr(jnp.sum)(jnp.zeros(3)))
