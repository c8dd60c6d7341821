"""Which folders of which buckets have to be told of."""

from __future__ import annotations

from oscar_events.event import Action
from oscar_events.matching import Folder, input_folders
from oscar_events.service import Service


def service(name: str, *inputs: tuple[str, str], **dispatch: object) -> Service:
    places = [{"storage_provider": provider, "path": path} for provider, path in inputs]
    return Service.from_document(
        {"name": name, "image": "busybox", "script": "true", "input": places, "dispatch": dispatch}
    )


def test_inputs_of_one_folder_come_together_with_all_that_is_wanted_of_it() -> None:
    services = [
        service("a", ("minio.default", "pics/in")),
        service("b", ("minio.default", "pics/in"), ("minio.other", "pics/in"), event_types=["removed"]),
        service("c", ("minio", "docs/x/y"), ("local", "pics/in")),
    ]
    found = input_folders(services, "minio.default", {})
    both = frozenset({Action.CREATED, Action.REMOVED})
    assert found == {"docs": (Folder("x/y", frozenset({Action.CREATED})),), "pics": (Folder("in", both),)}


def test_aliases_are_one_store() -> None:
    services = [service("a", ("minio.alias", "pics/in"))]
    aliases = {"minio.alias": "minio.default"}
    assert list(input_folders(services, "minio.default", aliases)) == ["pics"]
    assert list(input_folders(services, "minio.alias", aliases)) == ["pics"]


def test_the_prefix_of_a_folder_ends_it() -> None:
    assert Folder("in", frozenset()).prefix == "in/"
    assert Folder("", frozenset()).prefix == ""
