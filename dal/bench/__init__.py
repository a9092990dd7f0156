"""``python -m dal.bench``: how long the parts of a run take on this machine.

Absolute seconds say little about code: machines differ, and their cores are shared. So every figure
is compared with a reference measured in the same run, and the ratio of both is what counts.
"""
