"""The numerics of active learning: tensors in, tensors out.

Every function keeps the dtype and the device of its input, unless it says otherwise, takes its
randomness as an argument, and raises ``ValueError`` for a size that is out of range.
"""
