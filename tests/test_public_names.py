"""`import limen`: few names, each of them there, and none of the libraries behind them until one is used."""

import subprocess
import sys

import limen

HEAVY = ("sqlalchemy", "cryptography", "fastapi", "argon2", "joserfc", "email_validator", "jinja2", "pydantic")


def test_the_public_names_are_sorted_and_few():
    assert list(limen.__all__) == sorted(limen.__all__)
    assert len(set(limen.__all__)) == len(limen.__all__) <= 30


def test_every_public_name_is_there_and_documented():
    for name in limen.__all__:
        value = getattr(limen, name)
        assert value.__doc__, name
        assert name in dir(limen)


def test_what_type_checkers_see_is_what_there_is():
    import ast
    from pathlib import Path

    tree = ast.parse(Path(limen.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname or alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == set(limen.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    missing = "NoSuchName"
    assert not hasattr(limen, missing)


def test_importing_limen_loads_nothing_heavy():
    program = f"import sys, limen; print(*[name for name in {HEAVY} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
