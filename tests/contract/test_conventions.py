"""CONVENTIONS.md: its system and its study run from a user's folder, and tests keep its table."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from panorax import cli
from panorax.commands import experiment
from panorax.testing import contract, tolerances

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONVENTIONS.md").read_text()
FILES = dict(re.findall(r"`(\w+\.py)`.*\n\n```python\n((?:.*\n)*?)```", PAGE))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files of the page in a folder of their own."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def result_of(run):
    return json.loads((run / "result.json").read_text())


def test_page_shows_a_system_and_a_study_with_their_configs():
    assert list(FILES) == [
        "softmax_regression.py",
        "digits.py",
        "random_directions.py",
        "my_study.py",
    ]


def test_system_runs_resumes_on_another_mesh_and_keeps_its_claim(folder, capsys):
    command = ["run", str(folder / "digits.py"), "--workdir", str(folder / "run")]
    assert cli.main([*command, "--mesh", "data=2,fsdp=2", "--run.steps", "250"]) == 0
    assert cli.main([*command, "--resume", "--mesh", "data=4", "--run.steps", "500"]) == 0
    result = result_of(folder / "run")
    assert result["parameters"] == 650 and result["metrics"]["eval_accuracy"] > 0.93
    assert result["claims"] == [] and result["not_judged"] == {"run.steps": [250, 500]}
    assert result["mesh"] == "data=4"
    assert (
        f"continuing {folder / 'run'} at step 250 of 500 with run.steps 500 (was 250), "
        "mesh data=4 (was data=2,fsdp=2)"
    ) in capsys.readouterr().out


def test_study_resumes_at_the_part_that_was_interrupted_and_keeps_its_claim(
    folder, monkeypatch, capsys
):
    def interrupted(key, cfg):
        raise KeyboardInterrupt

    command = ["run", str(folder / "my_study.py"), "--workdir", str(folder / "run")]
    experiment.load(command[1])
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["random_directions"], "histogram", interrupted)
        assert cli.main(command) == 130
    assert capsys.readouterr().err == (
        f"panorax: interrupted; to continue: panorax run {command[1]} --resume "
        f"--workdir {command[3]}\n"
    )
    assert [path.name for path in (folder / "run" / "parts").iterdir()] == ["variance.json"]
    assert cli.main([*command, "--resume"]) == 0
    output = capsys.readouterr().out
    assert "part 1 of 2, variance: kept from before" in output
    assert "part 2 of 2, histogram: " in output
    assert (folder / "run" / "cosines.png").is_file()
    result = result_of(folder / "run")
    assert set(result["parts"]) == {"variance", "histogram"}
    assert all(verdict["kept"] for verdict in result["claims"]) and result["claims"]


@pytest.mark.parametrize("config", ["digits.py", "my_study.py"])
def test_contract_holds_outside_the_package(folder, config):
    module = experiment.load(str(folder / config))[1]
    for check in contract.of(module).values():
        check()


def test_check_names_the_check_that_fails(folder, capsys):
    command = ["check", str(folder / "digits.py"), "--only"]
    assert cli.main([*command, "every_axis_of_every_parameter_has_a_name"]) == 0
    assert "digits.py keeps the contract" in capsys.readouterr().out
    assert cli.main([*command, "everything"]) == 2
    assert "has no check 'everything'; its checks are step_keeps" in capsys.readouterr().err
    system = folder / "softmax_regression.py"
    system.write_text(system.read_text().replace('"eval_accuracy"', '"accuracy"'))
    sys.modules.pop("softmax_regression", None)
    assert cli.main([*command, "evaluation_is_finite_and_named"]) == 1
    assert "FAILED  evaluation_is_finite_and_named" in capsys.readouterr().out


def test_options_are_typed_and_parts_chosen(folder, capsys):
    command = ["run", str(folder / "digits.py"), "--batch"]
    options = ["16", "--smoke", "--workdir", str(folder / "run"), "--optim", "sgd"]
    assert cli.main([*command, *options]) == 0
    assert cli.main([*command, "0"]) == 2
    assert "batch must be at least 1" in capsys.readouterr().err


def test_the_page_has_the_table_of_tolerances():
    rows = re.findall(r"^\| `([A-Z]+)` \| .* \| ([\d.e-]+) \| ([\d.e-]+) \|$", PAGE, re.M)
    kinds = {name: x for name, x in vars(tolerances).items() if name.isupper()}
    assert {name: {"rtol": float(r), "atol": float(a)} for name, r, a in rows} == kinds


def undocumented(text: str, names: tuple[str, ...]) -> list[str]:
    """The tolerances of the comparisons in a file without a kind of the table or a reason.

    names: keywords of comparisons. Their numbers come from `panorax.testing.tolerances`, or from a
    constant of the file with a docstring; an integer may multiply them.
    """
    tree = ast.parse(text)
    constants = {
        node.targets[0].id: after
        for node, after in zip(tree.body, [*tree.body[1:], None])
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    documented = lambda after: isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    bare = {name for name, after in constants.items() if name.isupper() and not documented(after)}
    faults = []
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and re.search("close|approx", ast.unparse(call))):
            continue
        if ast.unparse(call.func) in SOLVERS:
            continue
        for keyword in call.keywords:
            inside = list(ast.walk(keyword.value))
            numbers = [x.value for x in inside if isinstance(x, ast.Constant)]
            is_literal = any(isinstance(x, float) and x for x in numbers) or (
                isinstance(keyword.value, ast.Constant) and keyword.value.value
            )
            used = {x.id for x in inside if isinstance(x, ast.Name)} & bare
            if keyword.arg in names and (is_literal or used) or keyword.arg is None and used:
                faults.append(f"line {keyword.value.lineno}: {ast.unparse(keyword)}")
    return faults


TESTS = sorted((ROOT / "tests").rglob("*.py"))
SOLVERS = ("dopri5", "solve_ivp", "RK45")  # their tolerances choose the steps


@pytest.mark.parametrize("path", [*TESTS, Path(contract.__file__)], ids=lambda path: path.stem)
def test_tolerances_come_from_the_table_or_have_a_reason(path):
    exact = (
        ("abs", "rel", "tolerance") if path.parent.name in ("parity", "distributed", "lm") else ()
    )
    assert undocumented(path.read_text(), ("rtol", "atol", *exact)) == []


@pytest.mark.parametrize(
    "comparison, faults",
    [
        ("assert_allclose(a, b, **LAYER)", 0),
        ("assert_allclose(a, b, rtol=0, atol=4 * NOISE)", 0),
        ("assert_allclose(a, b, atol=1e-5)", 1),
        ("assert_allclose(a, b, atol=1)", 1),
        ("assert_allclose(a, b, rtol=1e-5, atol=2 * 1e-5)", 2),
        ("assert_allclose(a, b, **BARE)", 1),
        ("partial(assert_trees_all_close, atol=BARE)", 1),
        ("dopri5(f, x, rtol=1e-5)", 0),
    ],
)
def test_a_tolerance_without_a_reason_is_named(comparison, faults):
    text = f'NOISE = 0.1\n"""sampling error"""\nBARE = 0.1\n{comparison}\n'
    assert len(undocumented(text, ("rtol", "atol"))) == faults
