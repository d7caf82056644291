"""The study of tokenizers on a few documents."""

import jax
import pytest
from panorax.configs.lm import tokenizer as config

from panorax.core.errors import UserError
from panorax.core.study import measured
from panorax.lm import tokenizer


def test_few_documents_are_split_as_by_the_library():
    metrics = measured(tokenizer.study(config.smoke()), jax.random.key(0)).metrics
    names = ("equal_merges", "equal_ids", "equal_splits", "byte_pairs_round_trips")
    assert {name: metrics[name] for name in names} == dict.fromkeys(names, 1.0)
    assert metrics["largest_fall"] == 0
    sizes = [metrics[f"byte_pairs_bytes_per_token_at_{n}"] for n in config.smoke().sizes]
    assert 1 < sizes[0] < sizes[1]


@pytest.mark.parametrize("sizes", [(256,), (400, 300), (300, 300)])
def test_vocabularies_rise_and_hold_all_bytes(sizes):
    with pytest.raises(UserError, match="vocabularies must rise and be above 256"):
        tokenizer.Config(sizes=sizes)


def test_parts_of_characters_are_shown_in_hex():
    assert tokenizer.shown("Ġa") == "␣a" and tokenizer.shown("Ã") == "C3"
