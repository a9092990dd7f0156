"""The commands of the package, with what they are for and an example of each."""

from typing import NamedTuple


class Command(NamedTuple):
    """One command: ``dal NAME`` is ``python -m dal.NAME``.

    Attributes:
        summary: What it does, in one line.
        example: A command line.
        config: The file in ``conf`` that its configuration starts from; None if argparse reads its
            arguments.
    """

    summary: str
    example: str
    config: str | None = None


COMMANDS = {
    "train": Command(
        "runs an experiment: fit, select, label, repeat; the same command resumes it",
        "dal train strategy=margin seed=3",
        "config",
    ),
    "report": Command(
        "compares runs: one page with tables, figures and statistical tests", "dal report outputs/"
    ),
    "query": Command(
        "chooses what people should label next, and takes their labels",
        "dal query data=imagefolder data.path=photos project=birds",
        "query",
    ),
    "extract": Command(
        "computes the features of your items once, and keeps them",
        "dal extract data=imagefolder data.path=photos out=features",
        "extract",
    ),
    "cache": Command(
        "lists the features that are kept, and removes them", "dal cache --clean drafts --dry-run"
    ),
    "bench": Command(
        "measures how fast this machine fits, selects and extracts",
        "dal bench select --problem cifar10",
    ),
    "completion": Command(
        "prints a script for Tab completion in bash, zsh or fish", 'eval "$(dal completion bash)"'
    ),
}
