"""What a service document may say, what it means, and what the author is told when it is wrong."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.errors import ServiceError
from oscar_events.service import Service

BLUR: dict[str, Any] = {"name": "blur", "image": "busybox", "script": "cp $INPUT_FILE_PATH $TMP_OUTPUT_DIR"}


def service(**fields: Any) -> Service:
    return Service.from_document({**BLUR, **fields})


def place(**fields: Any) -> dict[str, Any]:
    return {"storage_provider": "local", "path": "pics/in", **fields}


def test_a_service_needs_a_name_an_image_and_a_script_only() -> None:
    blur = service()
    assert blur.input == blur.output == ()
    assert blur.log_level == "INFO"
    assert blur.environment.variables == {}


@pytest.mark.parametrize(
    ("provider", "path", "expected"),
    [
        ("local", "pics/in", ("local.default", "pics", "in")),  # a bare type is its default
        ("MinIO.Default", "pics/in", ("minio.Default", "pics", "in")),  # OSCAR lowers the type, ids are the user's
        ("s3.my.site", "pics/in", ("s3.my.site", "pics", "in")),  # split at the first dot
        ("minio", " /pics/in/sub/ ", ("minio.default", "pics", "in/sub")),  # spaces and slashes at the ends are noise
        ("minio", "in", ("minio.default", "blur", "in")),  # OSCAR 4.1: no bucket means the service's own
        ("s3", "in/", ("s3.default", "blur", "in")),
        ("local", "pics", ("local.default", "pics", "")),  # a folder as a bucket, watched whole
        ("webdav.dcache", "My Files/in", ("webdav.dcache", "My Files", "in")),  # no bucket there, so no bucket rule
    ],
)
def test_a_place_is_a_provider_a_bucket_and_a_folder(provider: str, path: str, expected: tuple[str, str, str]) -> None:
    read = service(output=[{"storage_provider": provider, "path": path}]).output[0]
    assert (read.storage_provider, read.bucket, read.folder) == expected


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("90", 90),  # quoted by a careful author
        ("90s", 90),
        ("5m", 300),
        ("1.5 h", 5400),
        ("1d", 86_400),
    ],
)
def test_durations_are_seconds_or_have_a_unit(written: object, seconds: float) -> None:
    dispatch = service(dispatch={"timeout": written}).dispatch
    assert dispatch.timeout == timedelta(seconds=seconds)


def test_by_default_the_users_failure_is_final_and_the_infrastructures_is_tried_for_a_day() -> None:
    dispatch = service().dispatch
    assert dispatch.retry.max_attempts == 1
    assert dispatch.retry.max_age == timedelta(days=1)
    assert dispatch.retry.backoff == timedelta(seconds=10)
    assert dispatch.timeout == timedelta(days=1)
    assert dispatch.concurrency is None


def test_carriage_returns_never_reach_the_script() -> None:
    assert service(script="a\r\nb\rc\n").script == "a\nb\nc\n"


@pytest.mark.parametrize(
    ("written", "level"),
    [("debug", "DEBUG"), ("Warning", "WARNING"), ("foo", "INFO"), (3, "INFO")],  # what is unknown is INFO, as in OSCAR
)
def test_log_levels_are_oscars(written: object, level: str) -> None:
    assert service(log_level=written).log_level == level


def test_variables_become_text_as_a_shell_expects_it() -> None:
    variables = {"N": 3, "F": 0.5, "ON": True, "EMPTY": None, "TEXT": "a b"}
    expected = {"N": "3", "F": "0.5", "ON": "true", "EMPTY": "", "TEXT": "a b"}
    assert service(environment={"variables": variables}).environment.variables == expected


def test_one_prefix_or_suffix_may_be_written_without_a_list() -> None:
    read = service(input=[place(prefix="result-", suffix=["jpg", "png"])]).input[0]
    assert read.prefix == ("result-",)  # OSCAR's supervisor reads a scalar letter by letter
    assert read.suffix == ("jpg", "png")


def test_a_key_without_a_value_is_absent() -> None:
    empty = {"output": None, "environment": None, "dispatch": {"retry": None, "timeout": None}}
    assert service(**empty) == service()


@pytest.mark.parametrize(
    ("fields", "where", "told"),
    [
        ({"name": ""}, "name", "letters"),
        ({"name": "a" * 40}, "name", "1 to 39"),
        ({"name": "Blur"}, "name", "lower-case"),
        ({"name": "1blur"}, "name", "a letter first"),  # Knative services are RFC 1035 labels
        ({"name": "blur-"}, "name", "no '-' last"),
        ({"name": "blur\n"}, "name", "a name of 1"),  # `$` in a pattern would let this through
        ({"name": 7}, "name", "the number 7"),
        ({"image": None}, "image", "no image"),
        ({"image": "two words"}, "image", "a container image"),
        ({"script": " \n"}, "script", "empty"),
        ({"input": place()}, "input", "list"),
        ({"input": [place(path="/ /")]}, "input[0].path", "empty"),
        ({"input": [place(), place(path="pics/../x")]}, "input[1].path", "'..'"),
        ({"input": [place(path="pics/./x")]}, "input[0].path", "'.'"),
        ({"input": [place(path="pics//x")]}, "input[0].path", "empty segments"),  # a folder has no such path
        ({"input": [place(path="pics/\0")]}, "input[0].path", "NUL"),
        ({"input": [place(path=".trash/in")]}, "input[0].path", "the bucket '.trash'"),
        (
            {"input": [place(storage_provider="s3", path="Pics/in")]},
            "input[0].path",
            "'Pics'",
        ),
        ({"name": "b", "input": [place(storage_provider="s3", path="in")]}, "input", "without a bucket, and 'b'"),
        ({"input": [place(storage_provider="minio.")]}, "input[0].storage_provider", "minio.default"),
        ({"input": [{"path": "pics/in"}]}, "input[0].storage_provider", "found no "),
        ({"input": [place(prefix=3)]}, "input[0].prefix", "list"),
        ({"input": [place(prefix="\ud800")]}, "input[0].prefix[0]", "Unicode"),  # has no bytes to compare keys with
        ({"environment": {"variables": {"A=B": 1}}}, "environment.variables.A=B", "'A=B' as the name"),
        ({"environment": {"variables": {"A": "\0"}}}, "environment.variables.A", "NUL"),
        ({"dispatch": {"timeuot": 3}}, "dispatch.timeuot", "one of "),
        ({"dispatch": {"retry": {"max": 3}}}, "dispatch.retry.max", "one of "),
        ({"dispatch": {"retry": {"max": None}}}, "dispatch.retry.max", "one of "),  # empty or not
        ({"dispatch": {"timeout": 0}}, "dispatch.timeout", "above 0"),
        ({"dispatch": {"timeout": "5 weeks"}}, "dispatch.timeout", "like 90s"),
        ({"dispatch": {"timeout": -1}}, "dispatch.timeout", "or a number with s, m, h or d"),
        ({"dispatch": {"timeout": True}}, "dispatch.timeout", "or a number with s, m, h or d"),
        ({"dispatch": {"timeout": "9" * 400}}, "dispatch.timeout", "at most a year"),
        ({"dispatch": {"concurrency": 0}}, "dispatch.concurrency", "a whole number from 1"),
        ({"dispatch": {"concurrency": True}}, "dispatch.concurrency", "whole number"),
        ({"dispatch": []}, "dispatch", "mapping"),
        ({"dispatch": {"backend": "kubernets"}}, "dispatch.backend", "one of process, kubernetes, workers, knative"),
        ({"dispatch": {"event_types": ["create"]}}, "dispatch.event_types[0]", "one of created, removed"),
        ({"dispatch": {"event_types": []}}, "dispatch.event_types", "one or more of created"),
        ({"dispatch": {"filters": {"size": {"min": "10Mi", "max": "1Mi"}}}}, "dispatch.filters.size", "min 10485760"),
        ({"dispatch": {"filters": {"size": {"min": "1MB"}}}}, "dispatch.filters.size.min", "a quantity"),
        ({"dispatch": {"filters": {"size": {"min": 0.5}}}}, "dispatch.filters.size.min", "whole number of bytes"),
        ({"dispatch": {"filters": {"globs": "*"}}}, "dispatch.filters.globs", "one of "),
        ({"dispatch": {"filters": {"glob": ""}}}, "dispatch.filters.glob[0]", "1 to 1024 characters"),
        ({"dispatch": {"expire": 0}}, "dispatch.expire", "above 0"),
        ({"memory": "256MB"}, "memory", "the text 256MB"),
        ({"memory": -1}, "memory", "a quantity, like"),
        ({"cpu": True}, "cpu", "a quantity, like"),
        ({"cpu": "1e999999999"}, "cpu", "a quantity, like"),
        ({"visibility": "publc"}, "visibility", "one of private, public, restricted"),
        ({"isolation_level": "all"}, "isolation_level", "one of SERVICE, USER"),
        ({"synchronous": {"min_scale": 3, "max_scale": 2}}, "synchronous.max_scale", "below min_scale 3"),
        ({"synchronous": {"min_scale": -1}}, "synchronous.min_scale", "a whole number from 0"),
        ({"expose": {"api_port": 70000}}, "expose.api_port[0]", "a whole number from 0 to 65535"),
        ({"expose": {"api_port": [80, 81], "nodePort": 30000}}, "expose.nodePort", "as many as in api_port: 2"),
        ({"expose": {"probe_mode": "fast"}}, "expose.probe_mode", "one of legacy, direct"),
        ({"volume": {"size": "1Gi"}}, "volume.mount_path", "found no "),
        ({"volume": {"size": "1Gi", "mount_path": "data"}}, "volume.mount_path", "an absolute path"),
        ({"volume": {"size": "1Gi", "mount_path": "/oscar"}}, "volume.mount_path", "overlap OSCAR's own /oscar/config"),
        ({"volume": {"size": "1Gi", "mount_path": "/oscar/bin/x"}}, "volume.mount_path", "own /oscar/bin"),
        ({"volume": {"size": "0", "mount_path": "/d"}}, "volume.size", "above 0"),
        ({"volume": {"name": "A_b", "mount_path": "/d"}}, "volume.name", "a name of 1 to 63"),
        (
            {"volume": {"name": "a", "mount_path": "/d", "lifecycle_policy": "retain"}},
            "volume.lifecycle_policy",
            "size",
        ),
        ({"volume": {"mount_path": "/d"}}, "volume", "neither size nor name"),
        ({"mount": {"storage_provider": "minio", "path": "b", "options": "x; y"}}, "mount.options", "letters, digits"),
        ({"federation": {"topology": "ring"}}, "federation.topology", "one of none, star, mesh"),
        ({"federation": {"members": [{"type": "star"}]}}, "federation.members[0].type", "one of oscar, endpoint"),
        ({"federation": {"members": [{"url": "https://x"}]}}, "federation.members[0].type", "found no "),
        ({"kserve": {"type": "inference", "storage_uri": "s3://m"}}, "kserve", "an `inference:` block"),
        ({"kserve": {"type": "llm_inference"}}, "kserve.storage_uri", "found no "),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_the_way_out(fields: dict[str, Any], where: str, told: str) -> None:
    with pytest.raises(ServiceError) as caught:
        service(**fields)
    assert caught.value.where == where
    assert told in f"{caught.value.what}; {caught.value.fix}"


def test_the_first_mistake_names_the_others() -> None:
    with pytest.raises(ServiceError, match=r"^name: .*\(also wrong: image, dispatch\.timeout\)$"):
        service(name="Blur", image="", dispatch={"timeout": "soon"})


def test_a_document_that_is_no_mapping_is_refused_as_a_whole() -> None:
    with pytest.raises(ServiceError) as caught:
        Service.from_document(["blur"], "blur.yaml: ")
    assert caught.value.where == "blur.yaml"


@pytest.mark.parametrize(
    "fields",
    [
        {"storage_providers": {"minio": {"site": {"secret_key": {1: "canary"}}}}},
        {"storage_providers": {"minio": {"site": "canary"}}},
        {"environment": {"variables": {"TOKEN": ["canary"]}}},
        {"environment": {"secrets": {"TOKEN": ["canary"]}}},
        {"environment": {"secrets": {"TOKEN": {"$secret": 1, "x": "canary"}}}},
        {"environment": {"secrets": {"A=B": "canary"}}},
        {"storage_providers": {"minio": {"site": {"secret_key": ["canary"]}}}},
        {"clusters": {"other": {"auth_password": ["canary"]}}},
        {"clusters": {"other": ["canary"]}},
        {"federation": {"members": [{"type": "oscar", "headers": {"Authorization": ["canary"]}}]}},
    ],
)
def test_an_error_never_repeats_what_may_be_a_secret(fields: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as caught:
        service(**fields)
    assert "canary" not in f"{caught.value} {caught.value.__cause__}"


def test_the_document_of_a_service_says_everything_in_json_in_oscars_order_and_ours_last() -> None:
    read = service(input=[place(storage_provider="minio", path="in")], dispatch={"timeout": "90s", "expire": "1h"})
    assert json.loads(json.dumps(read.document())) == read.document()
    assert list(read.document()) == [
        *("name", "cluster_id", "memory", "cpu", "total_memory", "total_cpu", "ephemeral_storage_request"),
        *("enable_gpu", "enable_sgx", "image_prefetch", "synchronous", "federation", "log_level", "image", "alpine"),
        *("file_stage_in", "input", "output", "script", "image_pull_secrets", "expose", "environment"),
        *("annotations", "vo", "labels", "storage_providers", "clusters", "interlink_node_name", "visibility"),
        *("allowed_users", "isolation_level", "mount", "volume", "kserve", "dispatch"),
    ]
    assert read.document()["input"] == [
        {"storage_provider": "minio.default", "path": "blur/in", "suffix": [], "prefix": []}
    ]
    assert read.document()["dispatch"] == {
        "backend": "process",
        "timeout": 90,
        "retry": {"max_attempts": 1, "backoff": 10, "max_age": 86_400},
        "concurrency": None,
        "event_types": ["created"],
        "filters": {"prefix": [], "suffix": [], "glob": [], "size": {"min": None, "max": None}},
        "expire": 3600,
        "reconcile": True,
    }


def test_a_document_of_the_version_before_is_the_same_service() -> None:
    old = {
        **BLUR,
        "input": [{"storage_provider": "minio.default", "path": "blur/in", "prefix": [], "suffix": []}],
        "output": [],
        "environment": {"variables": {"A": "1"}},
        "storage_providers": {"minio": {"default": {"endpoint": "http://x", "verify": False}}},
        "log_level": "INFO",
        "dispatch": {
            "timeout": 90,
            "retry": {"max_attempts": 1, "backoff": 10, "max_age": 86_400},
            "concurrency": None,
        },
    }
    assert Service.from_document(old) == service(
        input=[place(storage_provider="minio", path="in")],
        environment={"variables": {"A": 1}},
        storage_providers={"minio": {"default": {"endpoint": "http://x", "verify": False}}},
        dispatch={"timeout": 90},
    )


def test_what_oscar_writes_over_is_not_the_users() -> None:
    answered = {
        "token": "t",
        "owner": "me",
        "namespace": "ns",
        "bucket_list": ["b"],
        "volume_status": {"enabled": True},
    }
    assert service(**answered, deployment={"state": "ready"}) == service()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"memory": "", "cpu": ""}, ("256Mi", "0.2")),  # what OSCAR fills in
        ({"memory": "1Gi", "cpu": "500m"}, ("1Gi", "500m")),  # handed back as written
        ({"memory": 500000000, "cpu": 0.5}, ("500000000", "0.5")),  # YAML made numbers of them
        ({"memory": 1e9, "cpu": 1e-7}, ("1000000000", "0.0000001")),
    ],
)
def test_quantities_are_text_however_they_were_written(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    read = service(**fields)
    assert (read.memory, read.cpu) == expected


def test_a_secret_is_text_or_a_reference_to_it() -> None:
    reference = {"$secret": "abc"}
    written = {
        "environment": {"secrets": {"TOKEN": reference, "PIN": 755, "EMPTY": ""}},
        "storage_providers": {"minio": {"site": {"access_key": "k", "secret_key": reference, "verify": True}}},
        "clusters": {"other": {"endpoint": "https://x", "auth_user": "u", "auth_password": reference}},
        "federation": {"members": [{"type": "endpoint", "url": "https://y", "headers": {"Authorization": reference}}]},
    }
    document = service(**written).document()
    assert document["environment"]["secrets"] == {"TOKEN": reference, "PIN": "755", "EMPTY": ""}
    assert document["storage_providers"] == written["storage_providers"]
    assert document["clusters"]["other"]["auth_password"] == reference
    assert document["federation"]["members"][0]["headers"] == {"Authorization": reference}
    assert Service.from_document(document).document() == document


def test_names_chosen_by_oscar_are_filled_in_as_it_does() -> None:
    read = service(federation={"members": []}, mount={"storage_provider": "", "path": ""})
    assert read.federation is not None
    assert read.federation.group_id == "blur"
    assert read.federation.topology == "none"
    assert read.mount is None
    assert (
        service(mount={"storage_provider": "minio", "path": "/fish/"}).mount
        == service(mount={"storage_provider": "minio.default", "path": "fish"}).mount
    )


_paths = st.sampled_from(["inbox", "pics/in", " /pics/in/sub/"])
_places = st.fixed_dictionaries(
    {"storage_provider": st.sampled_from(["local", "MINIO", "s3.other", "webdav.x"]), "path": _paths},
    optional={
        "prefix": st.text(st.characters(codec="utf-8")),
        "suffix": st.lists(st.text(st.characters(codec="utf-8"))),
    },
)


@given(
    inputs=st.lists(_places, max_size=3),
    timeout=st.floats(0.001, 3e7) | st.integers(1, 10**7) | st.integers(1, 99).map("{}h".format),
    script=st.text(st.characters(codec="utf-8")).filter(str.strip),
)
def test_the_canonical_document_describes_the_same_service(inputs: list[Any], timeout: object, script: str) -> None:
    read = service(input=inputs, script=script, dispatch={"timeout": timeout})
    again = Service.from_document(read.document())
    assert again == read
    assert again.document() == read.document()
