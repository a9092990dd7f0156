"""Tutorials: Python files that run as scripts and open as notebooks."""
