"""Deep active learning on frozen features.

Importing the package loads nothing heavy; ``dal.experiment``, ``dal.data``, ``dal.heads`` and
``dal.strategies`` hold what a script needs.
"""

__version__ = "0.2.0"
