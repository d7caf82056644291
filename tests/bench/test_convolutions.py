"""All convolution algorithms compute the same."""

import pytest

from panorax.bench import convolutions


@pytest.mark.parametrize(
    "names",
    [
        ("panorax", "channels_last", "channels_first", "columns"),
        ("depthwise_xla", "depthwise_shifted"),
    ],
    ids=lambda names: names[0],
)
def test_algorithms_agree_after_gradient_steps(names, tmp_path):
    convolutions.prepare(4, 5, 3, tmp_path)
    (facts, work), *others = [getattr(convolutions, name)({}, tmp_path) for name in names]
    assert work() == convolutions.TIMES * 4 and facts["norms"][0] > 1
    for other, _ in others:
        assert other["norms"] == pytest.approx(facts["norms"], rel=1e-5)
