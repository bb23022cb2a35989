"""Tests as users write them: a project of theirs, run by pytest in a process of its own."""

pytest_plugins = ("pytester",)
