"""Secrets stand as references in documents, and as files that nobody else may read."""

from __future__ import annotations

import copy
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from oscar_events.errors import ConfigurationError, ServiceError
from oscar_events.secrets import (
    HIDDEN,
    SecretMissingError,
    SecretStore,
    concealed,
    masked,
    places,
    reference,
    referred,
    speaks_of_secrets,
)

DOCUMENT: dict[str, Any] = {
    "name": "blur",
    "environment": {"variables": {"RADIUS": "4"}, "secrets": {"PASSWORD": "canary-1"}},
    "storage_providers": {
        "minio": {"site": {"endpoint": "https://site", "access_key": "canary-2", "secret_key": "canary-3"}},
        "onedata": {"one": {"oneprovider_host": "host", "token": "canary-4", "space": "space"}},
    },
    "clusters": {"other": {"endpoint": "https://other", "auth_user": "u", "auth_password": "canary-5"}},
    "federation": {"members": [{"url": "https://m", "headers": {"Authorization": "canary-6"}}]},
}


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "secrets")


def test_no_value_is_left_in_a_concealed_document_and_all_the_rest_is(store: SecretStore) -> None:
    hidden = concealed(DOCUMENT, {}, store.put)
    assert "canary" not in str(hidden)
    assert hidden["environment"]["variables"] == {"RADIUS": "4"}
    assert hidden["storage_providers"]["minio"]["site"]["endpoint"] == "https://site"
    assert {store.get(str(referred(value))) for _, value in places(hidden)} == {f"canary-{n}" for n in range(1, 7)}


def test_the_same_values_give_the_same_document_and_another_value_another(store: SecretStore) -> None:
    other = copy.deepcopy(DOCUMENT)
    other["environment"]["secrets"]["PASSWORD"] = "canary-7"
    first, again, changed = (concealed(one, {}, store.put) for one in (DOCUMENT, DOCUMENT, other))
    assert first == again != changed


def test_ids_say_nothing_about_values_to_who_has_no_key(tmp_path: Path) -> None:
    assert SecretStore(tmp_path / "one").put("canary") != SecretStore(tmp_path / "two").put("canary")


def test_what_is_shown_can_be_applied_again_and_keeps_the_secrets(store: SecretStore) -> None:
    stored = concealed(DOCUMENT, {}, store.put)
    shown = masked(stored)
    assert shown["environment"]["secrets"] == {"PASSWORD": ""}
    assert shown["storage_providers"]["minio"]["site"]["secret_key"] == HIDDEN
    assert concealed(shown, stored, store.put) == stored


def test_a_reference_that_was_not_there_before_is_refused_as_it_may_be_somebody_elses(store: SecretStore) -> None:
    foreign = copy.deepcopy(DOCUMENT)
    foreign["environment"]["secrets"]["PASSWORD"] = reference(store.put("of another service"))
    with pytest.raises(ServiceError, match=r"environment\.secrets\.PASSWORD.*write the secret itself"):
        concealed(foreign, {}, store.put)


@pytest.mark.parametrize("name", ["acess_key", "secretkey", "my_pw", "Authorization"])
def test_a_setting_that_nobody_knows_may_be_a_secret_and_is_kept_as_one(store: SecretStore, name: str) -> None:
    document = {"storage_providers": {"minio": {"site": {"region": "eu", name: "canary", "other": {"a": 1}}}}}
    hidden = concealed(document, {}, store.put)["storage_providers"]["minio"]["site"]
    assert hidden["region"] == "eu"
    assert store.get(str(referred(hidden[name]))) == "canary"
    assert store.get(str(referred(hidden["other"]))) == '{"a": 1}'


def test_a_url_with_a_password_in_it_is_a_secret(store: SecretStore) -> None:
    document = {"storage_providers": {"minio": {"site": {"endpoint": "http://me:canary@host:9000"}}}}
    assert "canary" not in str(concealed(document, {}, store.put))
    assert "canary" not in str(masked(document))


def test_a_reference_where_no_secret_belongs_is_refused(store: SecretStore) -> None:
    foreign = copy.deepcopy(DOCUMENT)
    foreign["storage_providers"]["minio"]["site"]["endpoint"] = reference(store.put("of another service"))
    with pytest.raises(ServiceError, match=r"storage_providers\.minio\.site\.endpoint"):
        concealed(foreign, {}, store.put)
    assert speaks_of_secrets({"a": [{"b": reference("x")}]})
    assert not speaks_of_secrets({"a": [{"b": "x"}]})


def test_a_members_token_stays_with_the_member_in_whatever_order_they_are_listed(store: SecretStore) -> None:
    members = [{"url": f"https://{name}", "headers": {"Authorization": f"canary-{name}"}} for name in "ab"]
    stored = concealed({"federation": {"members": members}}, {}, store.put)
    shown = masked(stored)
    shown["federation"]["members"].reverse()
    again = concealed(shown, stored, store.put)["federation"]["members"]
    assert again == stored["federation"]["members"][::-1]


def test_files_and_directory_belong_to_the_platform_alone(tmp_path: Path, store: SecretStore) -> None:
    identity = store.put("canary")
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "secrets").iterdir()} == {0o600}
    assert store.get(identity) == "canary"


def test_a_secret_whose_file_is_gone_is_named_with_the_remedy(tmp_path: Path, store: SecretStore) -> None:
    identity = store.put("canary")
    (tmp_path / "secrets" / identity).unlink()
    with pytest.raises(SecretMissingError, match=f"{identity}.*apply the service again"):
        store.get(identity)


def test_no_id_leads_out_of_the_directory(tmp_path: Path, store: SecretStore) -> None:
    store.put("canary")
    (tmp_path / "other").write_text("of somebody else")
    with pytest.raises(SecretMissingError):
        store.get("../other")


def test_what_nothing_refers_to_goes_and_the_rest_stays_usable(store: SecretStore) -> None:
    kept, gone = store.put("kept"), store.put("gone")
    assert store.keep_only(frozenset({kept})) == 1
    assert store.get(kept) == "kept"
    assert store.put("kept") == kept
    with pytest.raises(SecretMissingError):
        store.get(gone)


def test_a_place_that_cannot_hold_secrets_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file")
    with pytest.raises(ConfigurationError, match=r"cannot keep a secret in .*secrets"):
        SecretStore(tmp_path / "secrets").put("canary")


def test_one_process_at_a_time_changes_what_is_kept(store: SecretStore, tmp_path: Path) -> None:
    turns: list[str] = []

    def other() -> None:
        with SecretStore(tmp_path / "secrets").hold():
            turns.append("other")

    with store.hold():
        waiting = threading.Thread(target=other)
        waiting.start()
        waiting.join(0.1)
        turns.append("this one")
    waiting.join()
    assert turns == ["this one", "other"]
    assert store.keep_only(frozenset()) == 0
    assert stat.S_IMODE((tmp_path / "secrets" / ".lock").stat().st_mode) == 0o600
