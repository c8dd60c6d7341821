"""What a cluster's storage may be, by which clock an apply looks, and what is needed for one at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from oscar_events.bus.memory import MemoryBus
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError, NotYetError, ServiceError
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.manager import cluster
from oscar_events.manager.cluster import ClusterBuckets, clients_installed, cluster_control, required
from oscar_events.manager.laptop import laptop_control
from oscar_events.manager.local_objects import NoLocalObjects
from oscar_events.service import Service
from oscar_events.settings import KafkaSettings, LedgerSettings, Settings
from tests.unit.oscar_events.manager.runs_in_ledger import begin, drop, finish

STORE = {"type": "minio", "endpoint": "http://store:9000"}
CONFIG = PlatformConfig(storage_providers={"minio": {"default": {"endpoint": "http://store:9000"}}})
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def service(*inputs: str, **more: Any) -> Service:
    places = [{"storage_provider": provider, "path": "pics/in"} for provider in inputs]
    return Service.from_document({"name": "blur", "image": "x", "script": "true", "input": places, **more})


def test_a_directory_of_one_machine_is_refused_with_the_stores_there_are() -> None:
    with pytest.raises(ServiceError, match=r"input\[0\].*a directory of one machine.*minio.default"):
        ClusterBuckets(CONFIG).check(service("local.default"))


def test_a_store_nobody_defines_is_refused_and_one_of_the_service_is_not() -> None:
    with pytest.raises(ServiceError, match=r"minio.other is not defined.*storage_providers: \{minio: \{other"):
        ClusterBuckets(CONFIG).check(service("minio.other"))
    own = {"minio": {"other": {"endpoint": "http://other:9000", "access_key": "a", "secret_key": "b"}}}
    found = ClusterBuckets(CONFIG)
    (told,) = found.check(service("minio.default", "minio.other", storage_providers=own))
    assert told.startswith("input[1]: minio.other is defined in the service file alone and is not listed")
    unasked = {"storage_providers": own, "dispatch": {"reconcile": False}}
    assert found.check(service("minio.default", "minio.other", **unasked)) == []


async def test_an_apply_goes_by_the_slowest_clock_of_its_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    async def storage_time(provider: str, settings: dict[str, str]) -> datetime:
        asked[provider] = settings["endpoint"]
        return NOON - timedelta(minutes=len(provider))

    monkeypatch.setattr(cluster, "storage_time", storage_time)
    own = {"minio": {"other": {"endpoint": "http://other:9000", "access_key": "a", "secret_key": "b"}}}
    both = [service("minio.default"), service("minio.other", storage_providers=own)]
    assert await ClusterBuckets(CONFIG).time(both) == NOON - timedelta(minutes=len("minio.default"))
    assert asked == {"minio.default": "http://store:9000", "minio.other": "http://other:9000"}


async def test_without_a_store_there_is_no_clock_to_ask() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= await ClusterBuckets(CONFIG).time([service()]) <= datetime.now(UTC)


def test_a_client_that_is_not_installed_is_told_with_the_command_that_installs_it() -> None:
    with (
        pytest.raises(ConfigurationError, match=r'pip install "oscar-events\[kafka,postgres,minio\]"'),
        clients_installed(),
    ):
        raise ModuleNotFoundError("No module named 'aiokafka'", name="aiokafka.errors")
    with pytest.raises(ModuleNotFoundError), clients_installed():
        raise ModuleNotFoundError("a defect", name="oscar_events.missing")


def test_a_cluster_needs_both_broker_and_database() -> None:
    kafka, ledger = KafkaSettings(bootstrap_servers="a:1"), LedgerSettings()
    assert required(PlatformConfig(settings=Settings(kafka=kafka, ledger=ledger))) == (kafka, ledger)
    with pytest.raises(ConfigurationError, match="oscar-events up"):
        required(PlatformConfig(files=CONFIG.files or (cluster.__file__,)))  # type: ignore[arg-type] # named only


def test_there_are_no_local_objects_to_look_at() -> None:
    assert not NoLocalObjects().has("pics")
    assert NoLocalObjects().look("pics", b"in/a.jpg").kind == "missing"


async def test_the_log_of_a_run_that_has_not_ended_is_refused_with_when_it_can_be_had(tmp_path: Path) -> None:
    place = {"storage_provider": "local", "path": "pics/in"}
    directory = DataDirectory(tmp_path)
    async with SqliteLedger(directory.ledger_db) as ledger, MemoryBus() as bus:
        here = laptop_control(ledger, bus, directory, PlatformConfig())
        [applied] = await here.apply([{"name": "blur", "image": "x", "script": "true", "input": [place]}])
        await drop(ledger, "in/a")
        control = cluster_control(ledger, bus, directory, PlatformConfig())
        [run] = await control.runs()
        with pytest.raises(NotYetError, match="has not ended"):
            await control.log(run["id"])
        epoch, leased = await begin(ledger, applied["uid"])
        with pytest.raises(NotYetError, match=r"attempt 1 of run .* has not ended.*--follow"):
            await control.log(run["id"])
        await finish(ledger, epoch, leased, log=b"done\n")
        assert await control.log(run["id"]) == b"done\n"
        await drop(ledger, "in/b")
        [never, _] = await control.runs()
        await control.cancel(never["id"])
        assert await control.log(never["id"]) == b"", "it ended without ever having begun"


async def test_what_a_look_at_the_buckets_found_is_told_by_apply_which_has_done_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def storage_time(provider: str, settings: dict[str, str]) -> datetime:
        return NOON

    async def looked(services: Sequence[Service], config: PlatformConfig) -> list[list[str]]:
        return [[f"{service.name}: no bucket"] for service in services]

    monkeypatch.setattr(cluster, "storage_time", storage_time)
    monkeypatch.setattr(cluster, "look_at_buckets", looked)
    async with SqliteLedger(tmp_path / "ledger.db") as ledger, MemoryBus() as bus:
        control = cluster_control(ledger, bus, DataDirectory(tmp_path), CONFIG)
        [applied] = await control.apply([service("minio.default").document()])
        assert (applied["change"], applied["warnings"][-1]) == ("created", "blur: no bucket")
