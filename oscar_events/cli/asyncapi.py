"""The command `asyncapi`: the document that describes the topics to those who read them without our code.

In:  the broker's settings if there are any. Out: AsyncAPI 3, as JSON.
Not here: generating it from what publishes and subscribes (bus/kafka_feed.py, kafka_channels.py).
"""

from __future__ import annotations

import typer

from oscar_events.cli.options import Data, data_directory

# Where the document says the broker is, on a machine that knows none.
_SOME_BROKER = "kafka:9092"


def asyncapi(context: typer.Context, data: Data = None) -> None:
    """Print the AsyncAPI 3 document of the topics, generated from what publishes and subscribes to them."""
    from oscar_events import __version__
    from oscar_events.cli import output
    from oscar_events.config import load_config
    from oscar_events.manager.cluster import clients_installed
    from oscar_events.settings import KafkaSettings

    settings = load_config(data_directory(context)).settings.kafka or KafkaSettings(bootstrap_servers=_SOME_BROKER)
    with clients_installed():
        from oscar_events.bus.kafka_feed import asyncapi as described
    output.print_json(described(settings, __version__))
