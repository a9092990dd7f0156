"""``python -m dal.completion``: completion of ``dal`` by the Tab key, in bash, zsh and fish.

The shells only ask: what may follow is worked out here, from the parsers of the commands and from
the configuration as it would be composed. Nothing that computes is imported.
"""
