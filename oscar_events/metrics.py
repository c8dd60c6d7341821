"""What the platform counts, in Prometheus' terms.

In:  increments from the components. Out: the metrics, as `/metrics` shows them.
Not here: serving them, gauges that ask ledger and bus (manager/), what a figure means for an operator (README).

Nothing is labelled with what users name (services, buckets, keys): each would be a time series for ever. Sources are
few and the operator's own.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# The first six resolve an idle laptop (file closed -> result: p50 9 ms, p99 38 ms), 1 and 5 s are the pauses of
# scheduler and backend, 30 s that between listings, 1 min the sweep's; from there to a day, the default of `max_age`,
# it is a queue, where one figure per order of magnitude is enough.
_START_DELAYS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 60, 300, 1800, 3600, 21_600, 86_400)

events_published = Counter("oscar_events_published", "Events acknowledged by the bus")
events_consumed = Counter("oscar_events_consumed", "Events intake has put in the ledger or passed over")
events_quarantined = Counter("oscar_events_quarantined", "Records kept in quarantine", ["where"])
executions_ended = Counter("oscar_events_executions_ended", "Executions that reached a final state", ["state"])
attempts_ended = Counter("oscar_events_attempts_ended", "Attempts that ended", ["outcome"])
executions_in_flight = Gauge("oscar_events_executions_in_flight", "Executions leased, submitted or running")
start_delay = Histogram(
    "oscar_events_start_delay_seconds",
    "From the time of an event, by its storage's clock, to the start of the script's first attempt",
    buckets=_START_DELAYS_S,
)
alarms = Counter("oscar_events_alarms", "What should never happen, and did", ["kind"])
partitions_paused = Gauge(
    "oscar_events_partitions_paused", "Partitions whose next record can be neither taken in nor kept in quarantine"
)
role_held = Gauge("oscar_events_role_held", "1 while this process holds the role", ["role"])
# Below 10 ms a sleep is as late on an idle machine; above 1 s health is no longer answered in time.
event_loop_lag = Histogram(
    "oscar_events_event_loop_lag_seconds",
    "How late the process came back from a short sleep: what it did meanwhile kept everything else waiting",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 10),
)

# Sources over HTTP. outcome: accepted, ignored or quarantined, per record of a notification; status: of the answer.
source_records = Counter("oscar_events_source_records", "Records of acknowledged notifications", ["source", "outcome"])
source_requests = Counter("oscar_events_source_requests", "Requests to a source", ["source", "status"])

# Asked of ledger and bus at each scrape; NaN when these could not be asked.
lag = Gauge("oscar_events_lag", "Events on the bus that intake has not put in the ledger yet")
oldest_unread = Gauge(
    "oscar_events_oldest_unread_seconds", "Age of the oldest event that intake has not put in the ledger yet, or 0"
)
oldest_ready = Gauge(
    "oscar_events_oldest_ready_seconds", "How long the run that waits longest could have been started already, or 0"
)
queued = Gauge("oscar_events_queue_length", "Executions that wait for room or for their next attempt")
dead_letters = Gauge("oscar_events_dead_letters", "Executions given up on, neither sent again nor purged")
quarantined = Gauge("oscar_events_quarantine_records", "Records in quarantine, neither redriven nor purged")
executions_forgotten = Counter("oscar_events_executions_forgotten", "Tombstones whose time in the ledger was over")
