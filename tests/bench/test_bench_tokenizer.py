import pytest

from panorax.bench.lm import tokenizer as bench

SETTING = vars(bench.Config(vocab=300, documents=8))


@pytest.mark.parametrize("case", ["encode", "train"])
def test_contenders_make_the_same_tokens(tmp_path, case):
    made = [
        contender(SETTING | {"case": case}, tmp_path)
        for contender in (bench.by_panorax, bench.by_tokenizers)
    ]
    kilobytes = [work() for _, work in made]
    assert kilobytes[0] == kilobytes[1] > 0
    assert made[0][0]["tokens"] == made[1][0]["tokens"] > 0
