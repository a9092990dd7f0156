"""Download of a repository of the Hugging Face hub, in the revision that was asked for."""

from collections.abc import Sequence
from pathlib import Path

from dal.errors import DataError
from dal.runtime import network

PROBE_SECONDS = 3.0  # the library itself would try for 23 s and more


def snapshot(
    repo_id: str,
    revision: str,
    repo_type: str,
    patterns: Sequence[str] | None = None,
    *,
    local_hint: str,
) -> Path:
    """The folder with a repository's files, downloaded unless it is on this machine already.

    A copy in the hub's cache needs no network, if it is complete and of that revision.

    Args:
        repo_id: ``owner/name``.
        revision: A commit, or a branch or tag.
        repo_type: ``"model"`` or ``"dataset"``.
        patterns: Patterns of the names of the files that are needed; all if not given.
        local_hint: The option with which a user names a local copy, for messages.

    Returns:
        The folder, whose name is the commit.

    Raises:
        DataError: If the files are neither on this machine nor can be downloaded. Without a network
            it takes seconds to find out.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import ENDPOINT, is_offline_mode
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        IncompleteSnapshotError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    what = f"the {repo_type} {repo_id} (revision {revision})"
    flag = "" if repo_type == "model" else " --repo-type dataset"
    command = f"hf download {repo_id}{flag} --revision {revision}"
    elsewhere = (
        f"On a machine with access run `{command}` (after `hf auth login`, if it is gated as "
        "ImageNet is), and copy its cache (HF_HOME) to this machine; or add `--local-dir DIR`, "
        f"copy that folder, and name it with {local_hint}."
    )

    def download(local_files_only: bool) -> Path:
        found = snapshot_download(
            repo_id,
            repo_type=repo_type,
            revision=revision,
            allow_patterns=None if patterns is None else list(patterns),
            local_files_only=local_files_only,
        )
        return Path(found)

    try:
        return download(local_files_only=True)
    except HFValidationError as error:
        raise DataError(f"Expected the id of {what} as owner/name: {error}") from error
    except (LocalEntryNotFoundError, IncompleteSnapshotError):
        pass
    if is_offline_mode():
        raise DataError(
            f"Expected {what} in the hub's cache, since HF_HUB_OFFLINE is set, found nothing or "
            f"only a part of it. {elsewhere}"
        )
    try:
        network.check_reachable(ENDPOINT, PROBE_SECONDS)
    except OSError as error:
        raise DataError(
            f"Cannot get {what}: it is not in the hub's cache, and {error}. {elsewhere}"
        ) from error
    try:
        return download(local_files_only=False)
    except GatedRepoError as error:
        raise DataError(
            f"Cannot get {what}: you must ask for access to it. Do so in a browser at "
            f"{_page(ENDPOINT, repo_id, repo_type)}, log in with `hf auth login`, and run the "
            "same command again."
        ) from error
    except RepositoryNotFoundError as error:
        raise DataError(
            f"Cannot get {what}: {ENDPOINT} has none of that name, or none that you have access "
            "to. Check the spelling; if it is private, log in with `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise DataError(f"Cannot get {what}: it has no such revision.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        cause = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"Cannot get {what}: {cause}. What was downloaded is kept: run the same command again. "
            f"{elsewhere}"
        ) from error


def _page(endpoint: str, repo_id: str, repo_type: str) -> str:
    folder = "" if repo_type == "model" else "datasets/"
    return f"{endpoint}/{folder}{repo_id}"
