"""What users install is the wheel: it holds everything, and its commands run from it with no checkout in sight."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.platform import clean_environment

CHECKOUT = Path(__file__).parents[2]
# The packages come from the index, some 20 MB of them.
INSTALL_S = 300


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release does."""
    built = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(CHECKOUT)]
    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)
    (file,) = built.glob("*.whl")
    return file


def test_the_wheel_holds_the_four_packages_and_nothing_that_collides(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"oscar_events", "oscar_ingest", "oscar_dispatcher", "oscar_supervisor"}
    for needed in (
        "oscar_events/py.typed",
        "oscar_events/cli/demo/service.yaml",
        "oscar_events/cli/demo/script.sh",
        "oscar_events/ledger/migrations/versions/0001_the_first_ledger.py",
    ):
        assert needed in names


def test_both_commands_run_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=INSTALL_S)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = ["--require-hashes", "-r", str(CHECKOUT / "requirements.lock")]
    subprocess.run([*pip, *locked], check=True, timeout=INSTALL_S)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True, timeout=INSTALL_S)
    demo = subprocess.run(
        [str(environment / "bin" / "oscar-events"), "demo", "--data", str(tmp_path / "data"), "--pictures", "3"],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "3 of 3 results are there and right" in demo.stdout
    assert len(list((tmp_path / "data" / "buckets" / "pictures" / "grey").iterdir())) == 3
    supervisor = subprocess.run(
        [str(environment / "bin" / "oscar-supervisor"), "--version"],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )
    assert (supervisor.returncode, supervisor.stderr) == (0, "")
    assert supervisor.stdout == f"oscar-supervisor {wheel.name.split('-')[1]}\n"
