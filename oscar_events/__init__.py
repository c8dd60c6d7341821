"""oscar-events: the language of the platform and what every component shares.

In:  nothing. Out: the version. Not here: any import; a component pays only for the modules it names.
"""

__version__ = "0.1.0"
