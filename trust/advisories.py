"""`python -m trust.advisories [FILE]`: do the pinned packages have known faults?

Asks pip-audit, whose database is on the network. Where it cannot be reached nothing is known: that
is said, and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parents[1] / "constraints.txt"
COMMAND = (
    *(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"),
    *("--timeout", "10", "--disable-pip", "--no-deps", "--requirement"),
)


def advisories(pins=PINS, command=COMMAND, patience=300):
    """What is known of the pinned packages.

    Args:
        pins: file of requirements, each with its version.
        command: pip-audit, which the file's name is added to.
        patience: seconds that it may take.

    Returns:
        (lines to show, whether a package has a known fault).
    """
    try:
        done = subprocess.run(
            [*command, str(pins)], capture_output=True, text=True, timeout=patience
        )
    except subprocess.TimeoutExpired:
        return [f"skipped: pip-audit was not done after {patience} s"], False
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError, TypeError):
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        return [f"skipped: pip-audit cannot reach its database: {last}"], False
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return ["skipped: pip-audit's database knows none of these packages here"], False
    faults = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in "
        f"{', '.join(fault['fix_versions']) or 'no version yet'}"
        for package in known
        for fault in package["vulns"]
    ]
    return [*faults, f"{len(known)} of {len(packages)} packages are known, {len(faults)} faults"], (
        bool(faults)
    )


def main():
    """Show what is known; returns the exit status: 1 where there is a fault."""
    lines, bad = advisories(*sys.argv[1:2])
    print("\n".join(f"pip-audit: {line}" for line in lines))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
