"""Files of data sets on the hub, which are read as data: no script of theirs runs.

With HF_HUB_OFFLINE set, all of it comes from the hub client's cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from w2s.errors import FailedPrecondition, InvalidArgument, Unavailable
from w2s.tasks.origins import HubOrigin


def commit_of(origin: HubOrigin) -> str:
    """The commit that the revision means.

    Raises:
        InvalidArgument: There is no such data set or revision.
        FailedPrecondition: The hub's client is not installed; or the hub is switched off, and
            the cache does not have it.
        Unavailable: The hub does not answer.
    """
    with _hub_errors(origin):
        from huggingface_hub import HfApi  # noqa: PLC0415

        resolved = HfApi().resolve_revision(origin.name, repo_type="dataset", revision=origin.revision)
        return str(resolved.resolved)


def hub_files(origin: HubOrigin, splits: Sequence[str], commit: str) -> Iterator[Path]:
    """Local copies of the files of splits, in the order of their names, each fetched when it is asked for.

    Raises:
        InvalidArgument: A split has no file there.
        FailedPrecondition, Unavailable: As `commit_of`.
    """
    with _hub_errors(origin):
        from huggingface_hub import hf_hub_download  # noqa: PLC0415

        names = _names(origin, commit)
    for config, split in itertools.product(origin.configs, splits):
        pattern = origin.files.replace("{config}", config).replace("{split}", split)
        found = [name for name in names if _matches(name, pattern)]
        if not found:
            raise InvalidArgument("task.source", f"{origin.name} has no {pattern} at {commit}")
        for name in found:
            with _hub_errors(origin):
                path = hf_hub_download(origin.name, name, repo_type="dataset", revision=commit)
            yield Path(path)


def _names(origin: HubOrigin, commit: str) -> list[str]:
    from huggingface_hub import HfApi, is_offline_mode, snapshot_download  # noqa: PLC0415

    if not is_offline_mode():
        return sorted(HfApi().list_repo_files(origin.name, repo_type="dataset", revision=commit))
    folder = Path(snapshot_download(origin.name, repo_type="dataset", revision=commit, local_files_only=True))
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and PurePosixPath(name).match(pattern)


@contextmanager
def _hub_errors(origin: HubOrigin) -> Iterator[None]:
    try:
        # Imported here: the client comes with the models, and most tasks need none.
        from httpx2 import HTTPError  # noqa: PLC0415
        from huggingface_hub import errors  # noqa: PLC0415
    except ImportError as error:
        raise FailedPrecondition(f"{origin.name} is on the hub, and huggingface_hub is not installed") from error
    try:
        yield
    except (errors.RevisionNotFoundError, errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise InvalidArgument("task.source", f"the hub has no {origin.name} at {origin.revision}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise FailedPrecondition(
            f"{origin.name} at {origin.revision} is not in the hub's cache, and the hub cannot be reached"
        ) from error
    except errors.RevisionResolutionError as error:
        raise FailedPrecondition(f"the hub cannot be asked what {origin.revision} of {origin.name} is") from error
    except (HTTPError, OSError) as error:
        raise Unavailable(f"the hub does not answer for {origin.name}: {error}") from error
