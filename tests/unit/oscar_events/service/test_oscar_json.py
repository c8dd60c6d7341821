"""A service is answered as OSCAR answers it, and such an answer is the same service again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oscar_events.service import Dispatch, Service, Standing, ignored_here, oscar_document, respelled, unknown_keys
from tests.unit.oscar_events.service.mending import BLUR

# Every field of OSCAR 4.1 once, in the order and with the omissions of its Go structs; put together from
# reference/oscar.md §1 and OSCAR's own TestToYAML, since no public cluster shows one with all of them.
_ANSWER = (Path(__file__).parents[3] / "data" / "oscar" / "service_answer.json").read_text().rstrip("\n")


def compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


def test_an_answer_of_oscar_with_every_field_loads_and_is_given_back_character_by_character() -> None:
    answer = json.loads(_ANSWER)
    service = Service.from_document(answer)
    standing = Standing(
        answer["token"],
        answer["owner"],
        answer["namespace"],
        tuple(answer["bucket_list"]),
        answer["volume_status"],
        answer["deployment"],
    )
    assert compact(oscar_document(service, standing)) == _ANSWER
    assert list(unknown_keys(answer, Service)) == []
    assert respelled(answer, Service).told == ()
    assert len(ignored_here(service)) == 22


def test_a_service_that_asks_for_nothing_is_answered_with_what_clients_look_for() -> None:
    said = compact(oscar_document(Service.from_document(BLUR), Standing(token="t0")))
    assert said == (
        '{"name":"blur","cluster_id":"","memory":"256Mi","cpu":"0.2","total_memory":"","total_cpu":"",'
        '"ephemeral_storage_request":"","enable_gpu":false,"enable_sgx":false,"image_prefetch":false,'
        '"synchronous":{"min_scale":0,"max_scale":0},"log_level":"INFO","image":"busybox","alpine":false,'
        '"token":"t0","file_stage_in":false,"input":[],"output":[],"script":"true",'
        '"expose":{"min_scale":0,"max_scale":0,"cpu_threshold":0,"rewrite_target":false,"default_command":false,'
        '"set_auth":false,"health_path":""},"environment":{"variables":{},"secrets":{}},"annotations":{},"vo":"",'
        '"labels":{},"owner":"","interlink_node_name":"","visibility":"private","allowed_users":[],'
        '"isolation_level":"","bucket_list":[],"mount":{"storage_provider":"","path":""},'
        '"volume_status":{"enabled":false}}'
    )


_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)  # no variable holds NUL
_word = st.text("abcdef", min_size=1, max_size=6)
_quantity = st.sampled_from(["1", "0.5", "500m", "1Gi", "2e3", ".5M"])
_scale = st.integers(0, 3)
_dict = st.dictionaries(_word, _text, max_size=2)
_secret = _text | st.builds(lambda identity: {"$secret": identity}, _word)
_secrets = st.dictionaries(_word, _secret, max_size=2)
_texts = st.lists(_text, max_size=2)


def _block(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required or {}, optional=optional)


_place = _block(
    {"storage_provider": st.sampled_from(["minio", "s3.a", "local", "webdav.b"]), "path": st.just("pics/in") | _word},
    prefix=_texts,
    suffix=_texts,
).filter(lambda place: len(place["path"]) > 2 or place["storage_provider"] == "webdav.b")
_member = _block(
    {"type": st.sampled_from(["oscar", "endpoint"])},
    cluster_id=_text,
    service_name=_text,
    url=_text,
    ssl_verify=st.booleans(),
    priority=_scale,
    headers=_secrets,
)
_cluster = _block(endpoint=_text, auth_user=_text, auth_password=_secret, ssl_verify=st.booleans())
_ports = st.lists(st.integers(0, 65535), max_size=2)
_services = _block(
    {"name": st.just("blur"), "image": _word, "script": _word},
    cluster_id=_text,
    memory=_quantity,
    cpu=_quantity,
    total_memory=_quantity | st.just(""),
    total_cpu=_quantity,
    ephemeral_storage_request=_quantity,
    enable_gpu=st.booleans(),
    enable_sgx=st.booleans(),
    image_prefetch=st.booleans(),
    synchronous=_block(min_scale=st.just(1), max_scale=_scale),
    federation=st.none()
    | _block(
        group_id=_text,
        topology=st.sampled_from(["none", "star", "mesh"]),
        delegation=st.sampled_from(["", "static", "random", "load-based", "topsis"]),
        rescheduler_threshold=_scale,
        members=st.lists(_member, max_size=2),
    ),
    log_level=st.sampled_from(["DEBUG", "INFO"]),
    alpine=st.booleans(),
    file_stage_in=st.booleans(),
    input=st.lists(_place, max_size=2),
    output=st.lists(_place, max_size=2),
    image_pull_secrets=_texts,
    expose=_ports.flatmap(
        lambda ports: _block(
            {"api_port": st.just(ports), "nodePort": st.just(ports) | st.just([])},
            min_scale=st.just(1),
            max_scale=_scale,
            cpu_threshold=st.integers(0, 100),
            rewrite_target=st.booleans(),
            default_command=st.booleans(),
            set_auth=st.booleans(),
            auth_type=st.sampled_from(["", "basic", "forward"]),
            health_path=_text,
            probe_mode=st.sampled_from(["", "legacy", "direct"]),
        )
    ),
    environment=_block(variables=_dict, secrets=_secrets),
    annotations=_dict,
    vo=_text,
    labels=_dict,
    storage_providers=st.dictionaries(
        st.sampled_from(["minio", "s3", "rucio", "new"]),
        st.dictionaries(_word, st.dictionaries(_word, _secret | st.booleans(), max_size=2), max_size=2),
        max_size=3,
    ),
    clusters=st.dictionaries(
        _word, _block(endpoint=_text, auth_password=_secret, ssl_verify=st.booleans()), max_size=2
    ),
    interlink_node_name=_text,
    visibility=st.sampled_from(["private", "public", "restricted"]),
    allowed_users=_texts,
    isolation_level=st.sampled_from(["", "SERVICE", "USER"]),
    mount=st.none()
    | _block({"storage_provider": st.just("minio"), "path": st.just("models/c")}, options=st.just("-v a=b")),
    volume=st.none() | _block({"name": _word, "mount_path": st.just("/d")}, size=_quantity),
    kserve=st.none()
    | _block(
        {
            "type": st.just("inference"),
            "storage_uri": _word,
            "inference": _block({"model_format": _word}, runtime=_text),
        },
        api_version=st.sampled_from(["v1", "v2"]),
        max_scale=_scale,
        cpu=_quantity,
        args=_texts,
        env=_dict,
        enable_gpu=st.booleans(),
        set_auth=st.booleans(),
    ),
    dispatch=_block(timeout=st.just("1m"), event_types=st.just(["removed"])),
)


@given(_services)
def test_what_oscar_would_answer_is_the_same_service_apart_from_our_block(document: dict[str, Any]) -> None:
    service = Service.from_document(document)
    said = json.loads(compact(oscar_document(service)))
    assert "dispatch" not in said
    again = Service.from_document(said)
    assert again == service.model_copy(update={"dispatch": Dispatch()})
    assert oscar_document(again) == said
    assert Service.from_document(service.document()) == service
