"""Which rules are changed, and that others' are not: pure; the server's side is in tests/acceptance/test_buckets.py."""

from __future__ import annotations

import pytest

from oscar_events.errors import NotFoundError
from oscar_events.event import Action
from oscar_events.manager.minio_targets import Receiver, server_variables, target_arns
from oscar_events.manager.watching import Rule, change, covers, wanted_rules
from oscar_events.matching import Folder

HERE, REGIONAL = "arn:minio:sqs::OSCAR_FAST:webhook", "arn:minio:sqs:eu-1:OSCAR_FAST:webhook"
OTHER = "arn:minio:sqs::THEIRS:kafka"
CREATED = frozenset({Action.CREATED})
PUT = ("s3:ObjectCreated:Put",)


def rules(target: str = HERE, folder: str = "in") -> list[Rule]:
    return wanted_rules([Folder(folder, CREATED)], [target])


def test_a_rule_asks_for_what_makes_or_removes_objects_and_not_for_tags() -> None:
    (rule,) = wanted_rules([Folder("in", frozenset({Action.CREATED, Action.REMOVED}))], [HERE])
    assert rule.prefix == "in/"
    assert not any("*" in name or "Tagging" in name for name in rule.events)
    assert {name.split(":")[1] for name in rule.events} == {"ObjectCreated", "ObjectRemoved"}


def test_what_minio_has_no_event_for_makes_no_rule() -> None:
    assert wanted_rules([Folder("in", frozenset({Action.UPDATED}))], [HERE]) == []


def test_the_servers_own_region_in_an_arn_is_no_change() -> None:
    planned = change("pics", rules(REGIONAL), rules(HERE), [HERE])
    assert (planned.added, planned.removed, len(planned.kept)) == ((), (), 1)


def test_ours_that_are_wanted_no_more_go_and_nobody_elses() -> None:
    theirs = [Rule(HERE, "in/", "", PUT), Rule(OTHER, "", "", PUT, "oscar-events-of-another-platform")]
    planned = change("pics", [*theirs, *rules(folder="old")], rules(), [HERE])
    assert [rule.prefix for rule in planned.removed] == ["old/"]
    assert [rule.prefix for rule in planned.added] == ["in/"]


def test_a_rule_of_ours_that_is_there_twice_is_left_once() -> None:
    once = rules()
    twice = [*once, Rule(once[0].target, once[0].prefix, "", once[0].events, "oscar-events-again")]
    planned = change("pics", twice, once, [HERE])
    assert (len(planned.removed), len(planned.kept), planned.added) == (1, 1, ())


@pytest.mark.parametrize(
    ("rule", "covered"),
    [
        (Rule(HERE, "in/", "", ("s3:ObjectCreated:*",)), True),
        (Rule(HERE, "", "", ("s3:ObjectCreated:*",)), True),  # the whole bucket
        (Rule(HERE, "in/deeper/", "", ("s3:ObjectCreated:*",)), False),
        (Rule(HERE, "", ".png", ("s3:ObjectCreated:*",)), False),
        (Rule(HERE, "", "", PUT), False),  # an upload in parts would not be told
        (Rule(HERE, "", "", ("s3:ObjectRemoved:*",)), False),
    ],
)
def test_a_folder_is_covered_if_all_its_uploads_are_told(rule: Rule, covered: bool) -> None:
    assert covers([rule], Folder("in", CREATED)) is covered


def test_ours_are_chosen_among_the_servers_targets() -> None:
    assert target_arns([OTHER, REGIONAL]) == [REGIONAL]
    assert len(target_arns(None)) == 2
    with pytest.raises(NotFoundError, match="it knows arn:minio:sqs::THEIRS:kafka: name one with --target"):
        target_arns([OTHER])
    with pytest.raises(NotFoundError, match="no target at all"):
        target_arns([])


def test_odd_paths_are_quoted_for_the_shell() -> None:
    receiver = Receiver("http://h:1/ingest/minio", "/a b/it's")
    printed = server_variables(receiver, receiver, "/q $(x)")
    assert """AUTH_TOKEN_OSCAR_FAST="$(cat '/a b/it'"'"'s')\"""" in printed
    assert "QUEUE_DIR_OSCAR_DURABLE='/q $(x)'" in printed
