"""The rules, by what they are about; the number says which: 1xx the app, 2xx settings, 3xx passwords, 4xx tokens,
5xx routes, 6xx the database, 7xx what is beside the app, 8xx Supabase."""

from importlib import import_module

MODULES = ("app", "settings", "passwords", "tokens", "routes", "database", "surroundings", "supabase")


def load() -> None:
    """Let every module number its rules."""
    for name in MODULES:
        import_module(f"{__name__}.{name}")
