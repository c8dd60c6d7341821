"""What the platform counts, in Prometheus' terms.

In:  increments from the components. Out: the metrics, as `/metrics` shows them.
Not here: serving them (manager/), what a figure means for an operator (README).
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge

events_published = Counter("oscar_events_published", "Events acknowledged by the bus")
events_consumed = Counter("oscar_events_consumed", "Events intake has put in the ledger or passed over")
events_quarantined = Counter("oscar_events_quarantined", "Records kept in quarantine", ["where"])
executions_ended = Counter("oscar_events_executions_ended", "Executions that reached a final state", ["state"])
attempts_ended = Counter("oscar_events_attempts_ended", "Attempts that ended", ["outcome"])
executions_in_flight = Gauge("oscar_events_executions_in_flight", "Executions leased, submitted or running")
alarms = Counter("oscar_events_alarms", "What should never happen, and did", ["kind"])
