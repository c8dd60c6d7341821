"""Refuses a layout that would cost us later: modules nobody can hold in their head, packages that collide.

In:  the package folders. Out: exit 1 and a line per finding, 0 and silence otherwise.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Aim under 300; at 500 a module has more than one subject (reference/style.md §8.2).
MAX_LINES = 500
# A top-level import package `supervisor` would collide with supervisord's, silently (design §4).
NOT_PACKAGES = ("ingest", "dispatcher", "supervisor", "compose")


def findings(packages: list[Path]) -> list[str]:
    """Return what is wrong, one line each."""
    modules = [module for package in packages for module in sorted(package.rglob("*.py"))]
    long = [
        f"{module}: {lines} lines, {MAX_LINES} at most: split it by subject"
        for module in modules
        if (lines := len(module.read_text().splitlines())) > MAX_LINES
    ]
    colliding = [
        f"{folder}/__init__.py: must not exist, or `{folder}` becomes an import package that collides with others"
        for folder in NOT_PACKAGES
        if Path(folder, "__init__.py").exists()
    ]
    return long + colliding


if __name__ == "__main__":
    found = findings([Path(argument) for argument in sys.argv[1:]])
    sys.stderr.writelines(f"{line}\n" for line in found)
    sys.exit(bool(found))
