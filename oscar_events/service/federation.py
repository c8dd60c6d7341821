"""Services on several clusters, as OSCAR 4.1 describes them (reference/oscar.md §1.4).

In:  the block `federation`. Out: its fields, checked as OSCAR does.
Not here: delegating, which this platform does not do; the keys of OSCAR up to 4.0 (spelling.py).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from oscar_events.service.amounts import Whole
from oscar_events.service.block import Block, Secret, Text, choice


class Member(Block):
    """Where runs may be delegated to: a service on another OSCAR cluster, or an endpoint.

    cluster_id, service_name: of an oscar; url: of an endpoint. priority: 0 is tried first.
    ssl_verify: true unless said otherwise, as OSCAR documents it (its code has false).
    headers: may let somebody in, so each may be a reference to a secret.
    """

    type: Annotated[str, BeforeValidator(choice("oscar", "endpoint"))]
    cluster_id: Text = ""
    service_name: Text = ""
    url: Text = ""
    ssl_verify: bool = True
    priority: Whole = 0
    headers: dict[Text, Secret] = Field(default_factory=dict)


class Federation(Block):
    """A group of services that may take runs from each other.

    group_id: an identifier; empty = the service's name, which the service fills in.
    rescheduler_threshold: seconds; 0 = the cluster's default. delegation: empty = the cluster's default.
    """

    group_id: Text = ""
    topology: Annotated[str, BeforeValidator(choice("none", "star", "mesh"))] = "none"
    delegation: Annotated[str, BeforeValidator(choice("", "static", "random", "load-based", "topsis"))] = ""
    rescheduler_threshold: Whole = 0
    members: tuple[Member, ...] = ()
