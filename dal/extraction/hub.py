"""Files of the Hugging Face hub, in the version that was asked for."""

from collections.abc import Sequence
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from dal.errors import DataError

PROBE_SECONDS = 3.0  # the library itself would try for 23 s and more


def snapshot(
    repo_id: str,
    revision: str,
    repo_type: str,
    patterns: Sequence[str] | None = None,
    *,
    local_hint: str,
) -> Path:
    """The folder that holds a repository's files, downloaded unless it is there already.

    A copy in the hub's cache is taken without a network, if it is whole and of that revision.

    Args:
        repo_id: ``owner/name``.
        revision: A commit, or a branch or tag.
        repo_type: ``"model"`` or ``"dataset"``.
        patterns: Names of the files that are needed; all if not given.
        local_hint: How the user points to files that are on the machine, for messages.

    Returns:
        The folder, whose name is the commit.

    Raises:
        DataError: If the files are not there and cannot be had; within seconds.
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
        "ImageNet is), and bring its cache (HF_HOME) here; or add `--local-dir DIR`, and point to "
        f"that copy with {local_hint}."
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
            f"Expected {what} in the hub's cache, since HF_HUB_OFFLINE is set, found none or only "
            f"a part. {elsewhere}"
        )
    if not _answers(ENDPOINT):
        raise DataError(
            f"Cannot get {what}: it is not in the hub's cache, and {ENDPOINT} cannot be reached. "
            f"{elsewhere}"
        )
    try:
        return download(local_files_only=False)
    except GatedRepoError as error:
        raise DataError(
            f"Cannot get {what}: access to it must be asked for. Do so in a browser at "
            f"{_page(ENDPOINT, repo_id, repo_type)}, log in with `hf auth login`, and run the "
            "same command again."
        ) from error
    except RepositoryNotFoundError as error:
        raise DataError(
            f"Cannot get {what}: {ENDPOINT} has none of that name that you may see. Check the "
            "spelling; if it is private, log in with `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise DataError(f"Cannot get {what}: it has no such revision.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        cause = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"Cannot get {what}: {cause}. What has come is kept: run the same command again. "
            f"{elsewhere}"
        ) from error


def _answers(endpoint: str) -> bool:
    try:
        with urlopen(Request(endpoint, method="HEAD"), timeout=PROBE_SECONDS):
            return True
    except HTTPError:  # it answered
        return True
    except (URLError, OSError):
        return False


def _page(endpoint: str, repo_id: str, repo_type: str) -> str:
    folder = "" if repo_type == "model" else "datasets/"
    return f"{endpoint}/{folder}{repo_id}"
