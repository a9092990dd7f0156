"""The numerics of active learning: tensors in, tensors out.

Every function keeps the dtype and the device of its input, takes its randomness as an argument
and raises ``ValueError`` on a shape or a size that it cannot serve.
"""
