"""The commands about the broker's topics: `topics create`, `topics check`.

In:  the configuration in force, how many partitions. Out: how each topic is, what is wrong with it and what mends that.
Not here: what is safe (bus/kafka_topic_rules.py), asking the broker (bus/kafka_topics.py).
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oscar_events.cli.exit_codes import ExitCode
from oscar_events.cli.options import Data, Json, data_directory

if TYPE_CHECKING:
    from oscar_events.bus.kafka_topics import TopicReport
    from oscar_events.settings import KafkaSettings

topics = typer.Typer(invoke_without_command=True)


@topics.callback()
def topics_without_command(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """Make and check the topics of the platform on Kafka. Without a command: check them."""
    if context.invoked_subcommand is None:
        check(context, data, as_json)


@topics.command("create")
def create(
    context: typer.Context,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions",
            min=1,
            max=1000,
            help="Of the topic of events, which is grown to so many if it is there. Default: kafka.topics.partitions, "
            "and what is there stays.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make the topics that are missing, and check the others. What is there is never changed but for --partitions.

    Ends with 0 if all are safe, with 4 if one that is there is not: its remedy is printed.
    """
    settings = _kafka(context)
    from oscar_events.bus.kafka_topics import create_topics

    reports = asyncio.run(create_topics(settings, partitions))
    _print(reports, as_json)
    if not all(report.is_safe for report in reports):
        raise typer.Exit(ExitCode.CONFLICT)


@topics.command("check")
def check(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """Tell for each topic how it is and how it should be. Ends with 1 if one is missing or unsafe, else with 0."""
    settings = _kafka(context)
    from oscar_events.bus.kafka_topics import check_topics

    reports = asyncio.run(check_topics(settings))
    _print(reports, as_json)
    if not all(report.is_safe for report in reports):
        raise typer.Exit(ExitCode.FAILED)


def _kafka(context: typer.Context) -> KafkaSettings:
    from oscar_events.cli.broker import broker_settings
    from oscar_events.config import load_config

    return broker_settings(load_config(data_directory(context)))


def _print(reports: list[TopicReport], as_json: bool) -> None:
    from oscar_events.cli import output

    if as_json:
        output.print_json([_view(report) for report in reports])
        return
    for report in reports:
        sys.stdout.write(f"{report.wanted.name:<20} {_state(report)}\n")
        for problem in report.problems:
            level = "unsafe" if problem.is_unsafe else "advice"
            sys.stdout.write(f"  {level}: {problem.setting} is {problem.found}, it should be {problem.wanted}\n")
            sys.stdout.write(f"  fix: {problem.fix}\n")


def _state(report: TopicReport) -> str:
    if report.found is None:
        return "missing; fix: oscar-events topics create"
    count = len(report.found.replicas)
    shape = f"{count} partition{'s' if count != 1 else ''}, replication factor {report.found.replication_factor}"
    return f"{report.change or 'there'}: {shape}"


def _view(report: TopicReport) -> dict[str, Any]:
    found = report.found
    return {
        "topic": report.wanted.name,
        "is_safe": report.is_safe,
        "change": report.change or None,
        "partitions": None if found is None else len(found.replicas),
        "replication_factor": None if found is None else found.replication_factor,
        "configs": None if found is None else {name: found.configs[name] for name in report.wanted.configs},
        "wanted": {
            "partitions": report.wanted.partitions,
            "replication_factor": report.wanted.replication_factor,
            "configs": dict(report.wanted.configs),
        },
        "problems": [
            {
                "setting": problem.setting,
                "found": problem.found,
                "wanted": problem.wanted,
                "fix": problem.fix,
                "is_unsafe": problem.is_unsafe,
            }
            for problem in report.problems
        ],
    }
