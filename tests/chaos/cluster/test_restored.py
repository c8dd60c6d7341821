"""A database restored from a dump taken 1,000 events earlier, and partitions added meanwhile: nothing is lost.

Promised is that every upload has its one run and its right result. Not promised is that what ran after the dump does
not run again, as nobody remembers it (docs/cluster.md): these scripts, and no others, are left out of the evidence.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from tests.acceptance.platform import until
from tests.chaos.cluster.campaign import come_to_rest
from tests.chaos.cluster.checker import check
from tests.chaos.cluster.conftest import StartServers
from tests.chaos.cluster.evidence import collect, runs_of
from tests.chaos.cluster.installation import FAIL, Installation, running
from tests.chaos.cluster.uploads import Sender, Upload
from tests.chaos.journal import simultaneous

SEED = 20261121
# So that some hundred are told after partitions were added: those are known to all within half a minute.
PER_SECOND = 25.0
DUMPED, GROWN, RESTORED, UPLOADS = 100, 200, 1200, 1300
PARTITIONS = 8
_TIME_S = 300.0


def test_nothing_is_lost_by_a_restored_ledger_nor_by_partitions_added_while_all_is_running(
    start_servers: StartServers, tmp_path: Path
) -> None:
    dump = tmp_path / "ledger.dump"
    with start_servers(SEED) as servers, running(Installation(tmp_path, servers)) as platform:
        platform.apply(FAIL)

        def rows_of(table: str, least: int, where: str = "true") -> bool:
            sql = f"SELECT count(*) >= {least} FROM {table} WHERE {where}"
            return servers.postgres.execute(sql, servers.database).strip() == "t"

        sender = Sender(lambda: servers.minio.client, SEED, UPLOADS, PER_SECOND)
        sending = threading.Thread(target=sender.run)
        sending.start()
        try:
            until(lambda: rows_of("executions", DUMPED), "the first events are claimed", _TIME_S)
            servers.postgres.dump(servers.database, dump)
            until(lambda: rows_of("executions", GROWN), "more events are claimed", _TIME_S)
            platform.command("topics", "create", "--partitions", str(PARTITIONS))
            until(lambda: rows_of("positions", PARTITIONS, "next_offset > 0"), "new partitions are used", _TIME_S)
            until(lambda: rows_of("executions", RESTORED), "1,000 events are claimed since the dump", _TIME_S)
            platform.stop()
            ran = len(platform.journal.scripts())
            servers.postgres.restore(servers.database, dump)
            assert not rows_of("executions", RESTORED - 1000)
            remembered = {run["id"] for run in runs_of(platform) if run["has_ended"]}
            platform.start()
            sending.join(_TIME_S)
        finally:
            sender.cancelled.set()
            sending.join()
        come_to_rest(platform, SEED)
        acknowledged = {name for name, upload in sender.journal.items() if upload is Upload.ACKNOWLEDGED}
        assert len(acknowledged) >= UPLOADS
        evidence = collect(platform, SEED, acknowledged, poison=set())
    assert simultaneous(evidence.scripts) == []
    counted = [
        script for number, script in enumerate(evidence.scripts) if number >= ran or script.execution in remembered
    ]
    assert check(replace(evidence, scripts=counted)) == []
