"""Records that are stale, measured again, and judged again after their claims changed."""

import json
import shutil
import sys
import types

import numpy as np
import pytest
from PIL import Image

from panorax import catalogue, cli, readme
from panorax.commands import experiment, records
from panorax.engine import provenance


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """The only entry of the catalogue: rl/ppo, in a folder of the test, with a current record."""
    for name in ("ppo.py", "ppo.json"):
        shutil.copy(catalogue.root() / "rl" / name, tmp_path / name)
    entry = catalogue.read(tmp_path / "ppo.py", "rl/ppo", "panorax.configs.rl.ppo")
    monkeypatch.setattr(catalogue, "entries", lambda: (entry,))
    monkeypatch.setattr(catalogue, "benchmarks", lambda: ())
    edit(entry, sources=catalogue.digest(entry.path, entry.source))
    return entry


def edit(entry, **changes):
    path = entry.path.with_suffix(".json")
    path.write_text(json.dumps(entry.result() | changes))


def test_a_stale_record_is_shown_as_stale_wherever_its_verdicts_are(entry, capsys):
    def shown():
        for command in (["list"], ["list", "--json"], ["show", "rl/ppo"], ["records"]):
            assert cli.main(command) == 0
            yield capsys.readouterr().out
        yield readme.page("rl", [entry])
        yield readme.volume_table()

    assert not entry.is_stale
    assert not any("stale" in text.replace('"stale": false', "") for text in shown())
    edit(entry, sources="0" * 16)
    assert entry.is_stale and all("stale" in text for text in shown())


def test_stale_records_are_measured_again(entry, monkeypatch, capsys):
    current, commands = entry.result()["sources"], []

    def run(command):
        commands.append(command)
        measures, code = [(True, 0), (True, 1), (False, 0)][len(commands) - 1]
        if measures:
            edit(entry, sources=current)
        return types.SimpleNamespace(returncode=code)

    def rerun():
        edit(entry, sources="0" * 16, mesh="data=2")
        return cli.main(["records", "--rerun", "rl/ppo"])

    monkeypatch.setattr(records.subprocess, "run", run)
    monkeypatch.setattr(provenance, "commit", lambda: "abc+")
    assert rerun() == 2
    assert "commit the changed sources first" in capsys.readouterr().err
    monkeypatch.setattr(provenance, "commit", lambda: "abc")
    assert rerun() == 0
    again = [sys.executable, "-m", "panorax", "run", "rl/ppo", "--record", "--mesh", "data=2"]
    assert commands == [again]
    for _ in range(2):
        assert rerun() == 1
        assert "failed: rl/ppo" in capsys.readouterr().out
    edit(entry, sources=current)
    assert cli.main(["records", "--rerun"]) == 0 and len(commands) == 3


def test_the_quickest_record_is_measured_first_and_a_comparison_by_bench(monkeypatch):
    found = {entry.name: entry for entry in (*catalogue.entries(), *catalogue.benchmarks())}
    named = [found[name] for name in ("lm/llama", "bench/topology", "rl/ppo")]
    started = []
    done = lambda command: started.append(command[3:]) or types.SimpleNamespace(returncode=1)
    monkeypatch.setattr(records.subprocess, "run", done)
    monkeypatch.setattr(provenance, "commit", lambda: "abc")
    assert records.rerun(named) == 1
    seconds = [found[command[1]].result()["wall_seconds"] for command in started]
    assert seconds == sorted(seconds) and len(set(seconds)) == 3
    assert ["bench", "bench/topology", "--record"] in started


def test_verdicts_follow_claims_that_have_changed(entry, monkeypatch, capsys):
    module = experiment.imported(entry)
    claim = module.CLAIMS[0]
    monkeypatch.setattr(module, "CLAIMS", (type(claim)(claim.metric, ">=", 1e9, "a higher bound"),))
    assert cli.main(["records", "--judge"]) == 0
    [verdict] = entry.result()["claims"]
    assert not verdict["kept"] and verdict["source"] == "a higher bound"
    monkeypatch.setattr(module, "CLAIMS", (type(claim)(claim.metric, ">=", 1e9, "a new source"),))
    assert cli.main(["records", "--judge"]) == 0
    assert [v["source"] for v in entry.result()["claims"]] == ["a new source"]
    [verdict] = entry.result()["claims"]
    assert verdict["measured"] == entry.result()["metrics"][claim.metric]
    monkeypatch.setattr(module, "CLAIMS", (type(claim)("unmeasured", ">=", 1, "another"),))
    assert cli.main(["records", "--judge"]) == 2
    assert "lacks the metrics of the claim unmeasured >= 1" in capsys.readouterr().err
    assert len(entry.result()["claims"]) == 1


def test_an_entry_without_a_record_is_refused(entry, capsys):
    assert cli.main(["records", "lm/llama2_7b"]) == 2
    assert "lm/llama2_7b has no record" in capsys.readouterr().err


def test_the_small_copy_of_a_figure_keeps_the_colour_of_a_few_points(tmp_path):
    """Of 64 colours one is left for nine green pixels among thousands of shades of blue."""
    blue = np.arange(200 * 100, dtype=np.uint32).reshape(100, 200) % 255
    pixels = np.stack([0 * blue, blue // 2, 255 - blue], -1).astype(np.uint8)
    pixels[10:13, 10:13] = (0, 158, 15)
    Image.fromarray(pixels).save(tmp_path / "figure.png")
    experiment.small_copy(tmp_path / "figure.png", tmp_path / "small.png")
    kept = np.asarray(Image.open(tmp_path / "small.png").convert("RGB")).astype(int)
    assert np.abs(kept[11, 11] - (0, 158, 15)).max() < 24
