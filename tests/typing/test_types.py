"""User code type-checks under `mypy --strict` without ignores, and mistakes do not."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def test_what_users_write_is_clean_under_mypy_strict_and_their_mistakes_are_not():
    files = [str(HERE / "user_code.py"), str(HERE / "mistakes.py")]
    assert "type: ignore" not in (HERE / "user_code.py").read_text()
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *files]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.stdout + answer.stderr == ""
    assert answer.returncode == 0
