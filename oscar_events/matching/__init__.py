"""Which services an object starts, why it does not start others, and whether services would start each other for ever.

In:  the active services; the place of an object and what happened to it. Out: the names below.
Not here: events themselves, claiming (intake), listing (the reconciler, which asks here too).
"""

from oscar_events.matching.explain import explain
from oscar_events.matching.index import ActiveService, Match, MatchIndex
from oscar_events.matching.listened import Folder, folders_of, input_folders
from oscar_events.matching.loops import find_loop
from oscar_events.matching.wanted import Aliases, canonical_provider

__all__ = [
    "ActiveService",
    "Aliases",
    "Folder",
    "Match",
    "MatchIndex",
    "canonical_provider",
    "explain",
    "find_loop",
    "folders_of",
    "input_folders",
]
