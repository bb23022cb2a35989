"""Writes limen's list of common passwords from the npm package `@zxcvbn-ts/language-common` (MIT).

    npm pack @zxcvbn-ts/language-common && tar xzf zxcvbn-ts-language-common-*.tgz
    python3 scripts/build_common_passwords.py package

The result is plain text, one case-folded word a line, sorted: a new release of the list reads as a diff, and the
wheel compresses it. The README beside it carries the origin and the licence, as the licence asks.
"""

import argparse
import json
import unicodedata
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "src" / "limen" / "core" / "data"
SHORTEST = 4  # shorter words can never be a whole password, whatever `min_length` an app dares to set

README = """# Data of `limen.core`

`common_passwords.txt`: {count:,} common passwords, case-folded, at least {shortest} characters, sorted, one a line.
Made by `scripts/build_common_passwords.py` from the npm package `{name}` {version}
({repository}), which is licensed as follows:

```
{licence}
```
"""


def folded_words(package: Path) -> list[str]:
    """The package's passwords as `limen.core.password_rules` looks them up."""
    words = json.loads((package / "src" / "passwords.json").read_text(encoding="utf-8"))
    folded = {unicodedata.normalize("NFC", word).casefold() for word in words}
    return sorted(word for word in folded if len(word) >= SHORTEST and word.isprintable())


def readme(package: Path, *, count: int) -> str:
    """Where the words come from, and the licence that came with them."""
    about = json.loads((package / "package.json").read_text(encoding="utf-8"))
    return README.format(
        count=count,
        shortest=SHORTEST,
        name=about["name"],
        version=about["version"],
        repository=about["repository"]["url"].removeprefix("git+").removesuffix(".git"),
        licence=(package / "LICENSE.txt").read_text(encoding="utf-8").strip(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write limen's list of common passwords.")
    parser.add_argument("package", type=Path, help="the unpacked npm package (the folder with package.json)")
    package = parser.parse_args().package
    words = folded_words(package)
    DATA.mkdir(exist_ok=True)
    (DATA / "common_passwords.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (DATA / "README.md").write_text(readme(package, count=len(words)), encoding="utf-8")
    print(f"{len(words):,} words written to {DATA}")


if __name__ == "__main__":
    main()
