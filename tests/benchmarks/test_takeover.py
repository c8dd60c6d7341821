"""How long nobody schedules when the dispatcher that does is killed, with the settings as they come."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from oscar_events.ledger.postgresql import database_url
from oscar_events.settings import KafkaSettings, LedgerSettings
from tests.acceptance.cluster import running_cluster
from tests.acceptance.platform import until
from tests.acceptance.test_several_dispatchers import holds_the_role
from tests.benchmarks import figures

pytestmark = pytest.mark.benchmark

KILLS = 8


def test_a_killed_scheduler_is_replaced(tmp_path: Path, broker: KafkaSettings, database: LedgerSettings) -> None:
    took = []
    with running_cluster(tmp_path / "data") as cluster:
        cluster.configure(broker, database_url(database), "http://127.0.0.1:9")  # nothing is stored
        cluster.prepare()
        both = [cluster.start("dispatcher"), cluster.start("dispatcher")]
        for component in both:
            component.await_ready()
        scheduler = until(lambda: next(filter(holds_the_role, both), None), "one schedules")
        [standby] = [one for one in both if one is not scheduler]
        for _ in range(KILLS):
            scheduler.process.kill()
            began = time.perf_counter()
            until(partial(holds_the_role, standby), "the standby schedules")
            took.append(time.perf_counter() - began)
            scheduler, standby = standby, cluster.start("dispatcher")
            standby.await_ready()
    print("\nthe dispatcher that schedules is killed -> another schedules (aim: at most 10 s)")
    print(figures.latency("takeover", took))
