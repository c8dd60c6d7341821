"""The components of a cluster, a process each: what `oscar-events ingest` and `oscar-events dispatcher` run.

In:  the data directory, the configuration in force, a wish to stop. Out: one component that runs until then.
Not here: any behaviour; this is the cluster's composition root, beside the laptop's (standalone.py).

    component.py                   what both have: connections that are waited for, a front, an end in two phases
    ingest.py, dispatcher.py       one each; neither imports the other's parts

Any number of each may run, several of them on one host and directory: so nothing is locked and nothing emptied.
"""
