"""Which migrations there are is known without loading what runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from oscar_events.ledger import migrations, schema
from oscar_events.ledger.sqlite import SqliteLedger


def test_the_migrations_known_by_name_are_those_in_the_package_in_their_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert tuple(script.revision for script in reversed(scripts)) == schema.MIGRATIONS


@pytest.mark.parametrize("module", ["oscar_events.ledger.postgresql", "oscar_events.cli.platform"])
def test_opening_a_database_loads_no_alembic(module: str) -> None:
    """Half of what a command cost was loading it, and the broker's client with it."""
    heavy = "{'alembic', 'aiokafka', 'faststream'}"
    code = f"import sys, oscar_events.manager.cluster, {module}; print(sorted({heavy} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


async def test_a_ledger_that_is_up_to_date_is_not_migrated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteLedger(tmp_path / "ledger.db"):
        pass
    monkeypatch.setattr(schema, "_SCRIPTS", str(tmp_path / "nowhere"))  # a migration would need it
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        assert await ledger.read(schema.age) is schema.Age.PRESENT
