"""The platform in twenty ideas, in the order in which one meets them. Read it from top to bottom."""

from __future__ import annotations

import pytest

from oscar_events.errors import ConfigurationError
from tests.fundamentals.conftest import Platform

COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR"\n'
SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


# --- A file, a program, a result ---------------------------------------------------------------------------------


async def test_an_uploaded_file_becomes_an_event_and_the_event_a_run(platform: Platform) -> None:
    await platform.apply("shout", SHOUT)
    platform.drop("pics/in/a.txt")
    (run,) = await platform.ended()
    assert (run["service"], run["bucket"], run["key"]) == ("shout", "pics", "in/a.txt")
    assert run["event_id"].startswith("folder-")


async def test_the_program_runs_on_the_file_and_its_result_appears_in_the_output(platform: Platform) -> None:
    await platform.apply("shout", SHOUT)
    platform.drop("pics/in/a.txt", "hello")
    (run,) = await platform.ended()
    assert (run["state"], run["exit_code"], run["outputs"]) == ("succeeded", 0, ["pics/out/a.txt"])
    assert platform.path("pics/out/a.txt").read_text() == "HELLO"


async def test_what_the_program_prints_is_the_log_of_its_run(platform: Platform) -> None:
    await platform.apply("talk", "echo looking at $STORAGE_OBJECT_KEY")
    platform.drop("pics/in/a.txt")
    (run,) = await platform.ended()
    assert await platform.ask.log(run["id"]) == b"looking at in/a.txt\n"


async def test_a_file_may_have_any_name(platform: Platform) -> None:
    await platform.apply("copy", COPY)
    platform.drop("pics/in/red flower+%41 'é'\n$(x).txt")
    (run,) = await platform.ended()
    assert run["state"] == "succeeded"
    assert platform.path("pics/out/red flower+%41 'é'\n$(x).txt").exists()


# --- Which events start which services ---------------------------------------------------------------------------


async def test_an_event_starts_each_service_that_matches(platform: Platform) -> None:
    await platform.apply("copy", COPY)
    await platform.apply("shout", SHOUT, to="pics/loud")
    platform.drop("pics/in/a.txt", "hello")
    runs = await platform.ended(2)
    assert {run["service"] for run in runs} == {"copy", "shout"}
    assert len({run["event_id"] for run in runs}) == 1


async def test_a_service_may_choose_its_files_by_their_names(platform: Platform) -> None:
    await platform.apply("copy", COPY, only={"prefix": ["a"], "suffix": [".txt", ".md"]})
    for name in ("a.txt", "a.png", "b.txt", "a.md"):
        platform.drop(f"pics/in/{name}")
    assert {run["key"] for run in await platform.ended(2)} == {"in/a.txt", "in/a.md"}


async def test_the_result_of_one_service_may_start_the_next(platform: Platform) -> None:
    await platform.apply("copy", COPY, to="pics/between")
    await platform.apply("shout", SHOUT, source="pics/between")
    platform.drop("pics/in/a.txt", "hello")
    assert [run["service"] for run in await platform.ended(2)] == ["copy", "shout"]
    assert platform.path("pics/out/a.txt").read_text() == "HELLO"


async def test_a_service_may_not_start_itself(platform: Platform) -> None:
    with pytest.raises(ConfigurationError, match="for ever"):
        await platform.apply("copy", COPY, to="pics/in")
    await platform.apply("there", COPY, to="pics/out")
    with pytest.raises(ConfigurationError, match=r"back -> there|there -> back"):
        await platform.apply("back", COPY, source="pics/out", to="pics/in")


async def test_a_changed_service_runs_as_changed_from_the_next_event_on(platform: Platform) -> None:
    await platform.apply("change", COPY)
    platform.drop("pics/in/a.txt", "hello")
    await platform.ended(1)
    await platform.apply("change", SHOUT)
    platform.drop("pics/in/b.txt", "hello")
    await platform.ended(2)
    assert [platform.path(f"pics/out/{name}.txt").read_text() for name in "ab"] == ["hello", "HELLO"]


# --- Nothing lost, nothing twice ---------------------------------------------------------------------------------


async def test_the_same_event_twice_runs_once(platform: Platform) -> None:
    await platform.apply("copy", COPY)
    platform.drop("pics/in/a.txt")
    await platform.ended(1)
    await platform.stop()
    await platform.start()  # lists the bucket, and so sees the file again
    platform.drop("pics/in/b.txt")
    assert [run["key"] for run in await platform.ended(2)] == ["in/a.txt", "in/b.txt"]


async def test_the_same_name_with_new_content_is_a_new_event(platform: Platform) -> None:
    await platform.apply("shout", SHOUT)
    for count, content in enumerate(["first", "second"], start=1):
        platform.drop("pics/in/a.txt", content)
        await platform.ended(count)
        assert platform.path("pics/out/a.txt").read_text() == content.upper()


async def test_a_file_that_arrives_while_the_platform_is_down_is_found(platform: Platform) -> None:
    await platform.apply("copy", COPY)
    await platform.stop()
    platform.drop("pics/in/a.txt")
    await platform.start()
    (run,) = await platform.ended()
    assert run["state"] == "succeeded"


async def test_results_appear_whole(platform: Platform) -> None:
    await platform.apply(
        "slow", f'echo half > "$TMP_OUTPUT_DIR/r"\n{platform.wait_for_gate}echo whole > "$TMP_OUTPUT_DIR/r"'
    )
    platform.drop("pics/in/a.txt")
    await platform.started()
    assert list(platform.path("pics/out").iterdir()) == []
    platform.gate.touch()
    await platform.ended()
    assert platform.path("pics/out/r").read_text() == "whole\n"


# --- When things go wrong ----------------------------------------------------------------------------------------


async def test_a_failing_script_becomes_a_dead_letter_and_publishes_nothing(platform: Platform) -> None:
    await platform.apply("fail", COPY + "echo no >&2; exit 3")
    platform.drop("pics/in/a.txt")
    (run,) = await platform.ended()
    assert (run["state"], run["failure"], run["exit_code"], run["attempt"]) == ("dead", "user", 3, 1)
    assert list(platform.path("pics/out").iterdir()) == []


async def test_a_failing_script_is_tried_again_if_its_service_asks_for_it(platform: Platform) -> None:
    script = '[ "$OSCAR_EVENTS_ATTEMPT" = 2 ] || exit 1\n' + COPY
    await platform.apply("moody", script, dispatch={"retry": {"max_attempts": 2, "backoff": "0s"}})
    platform.drop("pics/in/a.txt")
    (run,) = await platform.ended()
    assert (run["state"], run["attempt"]) == ("succeeded", 2)


async def test_a_killed_workers_run_is_tried_again_without_asking(platform: Platform) -> None:
    script = 'if [ "$OSCAR_EVENTS_ATTEMPT" = 1 ]; then kill -KILL $PPID; sleep 60; fi\n' + COPY
    await platform.apply("murder", script, dispatch={"retry": {"backoff": "0s"}})
    platform.drop("pics/in/a.txt")
    (run,) = await platform.ended()
    assert (run["state"], run["attempt"]) == ("succeeded", 2)
    first, _ = (await platform.ask.run(run["id"]))["attempts"]
    assert (first["failure"], first["reason"]) == ("infrastructure", "its worker died")


async def test_what_ran_when_the_platform_stopped_runs_again_when_it_is_back(platform: Platform) -> None:
    await platform.apply("slow", platform.wait_for_gate + COPY, dispatch={"retry": {"backoff": "0s"}})
    platform.drop("pics/in/a.txt")
    await platform.started()
    await platform.stop()
    platform.gate.touch()
    await platform.start()
    (run,) = await platform.ended()
    assert (run["state"], run["attempt"]) == ("succeeded", 2)


async def test_a_script_that_hangs_is_ended_at_its_timeout(platform: Platform) -> None:
    await platform.apply("hang", platform.wait_for_gate, dispatch={"timeout": "1s"})
    platform.drop("pics/in/a.txt")
    (run,) = await platform.ended()
    assert (run["state"], run["failure"]) == ("dead", "resource")


# --- Whoever runs it has a say -----------------------------------------------------------------------------------


async def test_a_running_script_can_be_cancelled(platform: Platform) -> None:
    await platform.apply("slow", platform.wait_for_gate)
    platform.drop("pics/in/a.txt")
    run = await platform.started()
    await platform.ask.cancel(run["id"])
    (run,) = await platform.ended()
    assert run["state"] == "cancelled"


async def test_a_service_says_how_many_of_its_scripts_run_at_a_time(platform: Platform) -> None:
    alone = f"mkdir {platform.gate} || exit 1\nsleep 0.02\nrmdir {platform.gate}\n"
    await platform.apply("alone", alone, dispatch={"concurrency": 1})
    for number in range(5):
        platform.drop(f"pics/in/{number}.txt")
    assert {run["state"] for run in await platform.ended(5)} == {"succeeded"}


async def test_a_deleted_service_is_started_no_more(platform: Platform) -> None:
    await platform.apply("copy", COPY)
    await platform.apply("shout", SHOUT, to="pics/loud")
    await platform.ask.delete_service("copy")
    platform.drop("pics/in/a.txt")
    (run,) = await platform.ended()
    assert run["service"] == "shout"
