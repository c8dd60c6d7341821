"""What a service document may say, what it means, and what the author is told when it is wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.errors import ServiceError
from oscar_events.service import Service, unknown_keys

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
        ({"name": "blur\n"}, "name", "cannot name"),  # `$` in a pattern would let this through
        ({"name": 7}, "name", "found 7; write text"),
        ({"image": None}, "image", "is missing; add `image:`"),
        ({"image": "two words"}, "image", "no image"),
        ({"script": " \n"}, "script", "empty"),
        ({"input": place()}, "input", "write a list"),
        ({"input": [place(path="/ /")]}, "input[0].path", "empty"),
        ({"input": [place(), place(path="pics/../x")]}, "input[1].path", "'..'"),
        ({"input": [place(path="pics/./x")]}, "input[0].path", "'.'"),
        ({"input": [place(path="pics//x")]}, "input[0].path", "empty segment"),  # a folder has no such path
        ({"input": [place(path="pics/\0")]}, "input[0].path", "NUL"),
        ({"input": [place(path=".trash/in")]}, "input[0].path", "'.trash' cannot name a bucket"),
        ({"input": [place(storage_provider="s3", path="Pics/in")]}, "input[0].path", "'Pics' cannot name a bucket"),
        ({"name": "b", "input": [place(storage_provider="s3", path="in")]}, "input", "'b' cannot name a bucket"),
        ({"input": [place(storage_provider="minio.")]}, "input[0].storage_provider", "minio.default"),
        ({"input": [{"path": "pics/in"}]}, "input[0].storage_provider", "is missing"),
        ({"input": [place(prefix=3)]}, "input[0].prefix", "write a list"),
        ({"input": [place(prefix="\ud800")]}, "input[0].prefix[0]", "Unicode"),  # has no bytes to compare keys with
        ({"environment": {"variables": {"A=B": 1}}}, "environment.variables", "'A=B' cannot be set"),
        ({"environment": {"variables": {"A": "\0"}}}, "environment.variables", "NUL"),
        ({"dispatch": {"timeuot": 3}}, "dispatch.timeuot", "accepted here: concurrency, retry, timeout"),
        ({"dispatch": {"retry": {"max": 3}}}, "dispatch.retry.max", "accepted here: backoff, max_age, max_attempts"),
        ({"dispatch": {"retry": {"max": None}}}, "dispatch.retry.max", "is not known"),  # empty or not
        ({"dispatch": {"timeout": 0}}, "dispatch.timeout", "above 0"),
        ({"dispatch": {"timeout": "5 weeks"}}, "dispatch.timeout", "like 90s"),
        ({"dispatch": {"timeout": -1}}, "dispatch.timeout", "no duration"),
        ({"dispatch": {"timeout": True}}, "dispatch.timeout", "no duration"),
        ({"dispatch": {"timeout": "9" * 400}}, "dispatch.timeout", "longer than a year"),
        ({"dispatch": {"concurrency": 0}}, "dispatch.concurrency", "greater than or equal to 1"),
        ({"dispatch": {"concurrency": True}}, "dispatch.concurrency", "whole number"),
        ({"dispatch": []}, "dispatch", "write a mapping"),
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
    ],
)
def test_an_error_never_repeats_what_may_be_a_secret(fields: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as caught:
        service(**fields)
    assert "canary" not in f"{caught.value} {caught.value.__cause__}"


def test_unknown_keys_are_found_at_every_level_and_kept_out() -> None:
    document = {
        **BLUR,
        "memory": "1Gi",
        "input": [place(), place(sufix="jpg")],
        "environment": {"variables": {"A": "1"}, "secrts": {}},
        "storage_providers": {"minio": {"site": {"any": "key"}}},  # settings of a provider are not ours to judge
    }
    read = Service.from_document(document)
    assert list(unknown_keys(read, document, "blur.yaml: ")) == [
        "blur.yaml: memory",
        "blur.yaml: input[1].sufix",
        "blur.yaml: environment.secrts",
    ]
    assert "memory" not in read.document()


def test_the_document_of_a_service_says_everything_in_json() -> None:
    read = service(input=[place(storage_provider="minio", path="in")], dispatch={"timeout": "90s"})
    assert read.document() == {
        **BLUR,
        "input": [{"storage_provider": "minio.default", "path": "blur/in", "prefix": [], "suffix": []}],
        "output": [],
        "environment": {"variables": {}},
        "storage_providers": {},
        "log_level": "INFO",
        "dispatch": {
            "timeout": 90,
            "retry": {"max_attempts": 1, "backoff": 10, "max_age": 86_400},
            "concurrency": None,
        },
    }


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
