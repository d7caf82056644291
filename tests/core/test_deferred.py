"""Deferred imports."""

import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def run(tmp_path):
    """Runs code in a new interpreter with `library`, which imports the package `pictures`.

    The modules of `pictures` print their names when they are imported.
    """
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "__init__.py").write_text("print('pictures'); size = 3\n")
    (tmp_path / "pictures" / "colors.py").write_text("print('colors'); red = 'red'\n")
    (tmp_path / "library.py").write_text(
        "import pictures as p\nimport pictures.colors as c\n"
        "from pictures import colors\nok = p is not c\n"
    )

    def run(code):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run


def test_the_module_is_imported_at_its_first_use(run):
    code = """
        from panorax.core.deferred import deferred
        with deferred("pictures"):
            import library
        print("imported")
        print(library.colors.red)
        print(library.p.size, library.c.red)
    """
    assert run(code) == ["imported", "pictures", "colors", "red", "3", "red"]


def test_an_import_after_the_block_is_not_deferred(run):
    code = """
        from panorax.core.deferred import deferred
        with deferred("pictures"):
            import library
        import pictures
        print(pictures.size, pictures is library.p)
    """
    assert run(code) == ["pictures", "3", "False"]


def test_an_imported_module_is_unchanged(run):
    code = """
        import pictures, sys
        from panorax.core.deferred import deferred
        with deferred("pictures"):
            import library
        print(library.p is pictures, sys.modules["pictures"] is pictures)
    """
    assert run(code) == ["pictures", "colors", "True", "True"]


def test_a_submodule_can_be_deferred(run):
    code = """
        from panorax.core.deferred import deferred
        with deferred("pictures.colors"):
            import library
        print("imported")
        print(library.p.size, library.c.red)
    """
    assert run(code) == ["pictures", "imported", "colors", "3", "red"]


def test_core_state_defers_flax_linen(run):
    code = """
        import sys
        import panorax.core.state
        print("flax.linen" in sys.modules)
        import flax
        from flax import linen, nnx
        print(flax.linen.Dense(3).features, linen.Dense(3).features, nnx.bridge.ToNNX.__name__)
    """
    assert run(code) == ["False", "3", "3", "ToNNX"]
