"""``python -m dal.bench``: what this machine takes for the parts of a run.

Absolute seconds say little about code: machines differ, and share their cores. So every figure
stands beside a yardstick measured in the same run, and their ratio is what counts.
"""
