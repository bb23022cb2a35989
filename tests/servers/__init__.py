"""Real servers for the tests, run from wheels: no root, no Docker, nothing left behind."""
