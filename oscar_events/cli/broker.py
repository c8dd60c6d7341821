"""The broker that a command is about.

In:  the configuration in force. Out: the broker's settings.
Not here: the commands (topics.py, asyncapi.py, follow.py), the database (ledger.py).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oscar_events.config import PlatformConfig
    from oscar_events.settings import KafkaSettings


def broker_settings(config: PlatformConfig) -> KafkaSettings:
    """Return the settings of the broker. Raises ConfigurationError if this is a laptop, or the client is missing."""
    from oscar_events.manager.cluster import clients_installed, required

    kafka, _ = required(config)
    with clients_installed():
        import oscar_events.bus.kafka_connection  # noqa: F401 - the first that needs the client
    quiet_client()
    return kafka


def quiet_client() -> None:
    """Print nothing of what the client's library says of a broker that does not answer: our error has it."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
