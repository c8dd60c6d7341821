"""What `oscar-supervisor run` costs on an empty event, next to a bare interpreter that imports what it must.

Both byte-compiled, as in an image. Aimed at: CPU and peak memory at most 1.4 times the bare one's.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.benchmarks import figures
from tests.benchmarks.baselines import meter

pytestmark = pytest.mark.benchmark

ROUNDS = 40
COMMAND = Path(sys.executable).with_name("oscar-supervisor")
# What transfers need: an event loop, the client of S3, and the documents' codec.
BARE = "import asyncio, obstore, msgspec"
WITH_YAML = f"{BARE}, yaml"


@dataclass
class Cost:
    """CPU of a process and what it waited for, in seconds; its peak memory in MiB. One entry per round."""

    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def measure(self, command: list[str], environment: dict[str, str]) -> None:
        metered = [sys.executable, meter.__file__, *command]
        cpu, memory = subprocess.run(metered, env=environment, capture_output=True, check=True).stdout.split()
        self.cpu.append(float(cpu))
        self.memory.append(int(memory) / 1024)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CONFIG = """\
name: plants
memory: 256Mi
log_level: CRITICAL
environment: {variables: {RADIUS: "4"}}
storage_providers: {minio: {default: {endpoint: "http://minio:9000", region: us-east-1, verify: true}}}
"""


@pytest.mark.parametrize(
    ("name", "bare", "variables"),
    [
        ("script in SCRIPT, no configuration", BARE, {"LOG_LEVEL": "CRITICAL"}),
        ("script in SCRIPT, FUNCTION_CONFIG in YAML", WITH_YAML, {"FUNCTION_CONFIG": encoded(CONFIG)}),
    ],
)
def test_an_empty_event(tmp_path: Path, name: str, bare: str, variables: dict[str, str]) -> None:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPYCACHEPREFIX": str(tmp_path), "TMPDIR": str(tmp_path)}
    ours, theirs, empty = Cost(), Cost(), Cost()
    for number in range(-2, ROUNDS):  # two that compile
        if number == 0:
            ours, theirs, empty = Cost(), Cost(), Cost()
        run = [str(COMMAND), "run", "--root", str(tmp_path / "none")]
        ours.measure(run, {**environment, "SCRIPT": encoded("true"), **variables})
        theirs.measure([sys.executable, "-c", bare], environment)
        empty.measure([sys.executable, "-c", "pass"], environment)
    print(f"\noscar-supervisor run on an empty event, {name}; bare: `{bare}`; {ROUNDS} alternating rounds")
    for title, cost in (("oscar-supervisor run", ours), ("bare interpreter", theirs), ("python -c pass", empty)):
        cpu, memory = figures.quantile(cost.cpu, 0.5) * 1000, figures.quantile(cost.memory, 0.5)
        print(f"  {title:<44} CPU {cpu:6.1f} ms   peak {memory:6.1f} MiB")
    print(figures.ratio("CPU", ours.cpu, theirs.cpu))
    print(figures.ratio("peak memory", ours.memory, theirs.memory))
