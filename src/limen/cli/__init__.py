"""The command `limen`. One file per group, thin: what a command does is in the features' Python API.

Nothing but typer loads before a command runs, so that `limen --help` answers at once.
"""


def main() -> None:
    """Run the command line of this process."""
    from limen.cli.root import app

    app(prog_name="limen")
