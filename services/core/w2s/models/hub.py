"""Models on the hub: which commit a name means, what its files' digest is, and a local copy of them.

With HF_HUB_OFFLINE set, all of it comes from the hub client's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, hf_hub_download, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.hf_api import RepoSibling

from w2s.artifacts.manifest import File, content_digest, hash_file
from w2s.errors import FailedPrecondition, InvalidArgument, Unavailable
from w2s.models.settings import vet_settings
from w2s.models.vetting import DECISIVE, folder_digest, is_decisive, vet, vet_names, vet_size


def pin(name: str, revision: str, field: str) -> tuple[str, str]:
    """Says what a revision is, without its weights where the hub is reached.

    Args:
        name: The model's name on the hub, such as `org/name`.
        revision: A branch, a tag or a commit.
        field: The request field to name in an error; `.uri` or `.revision` is added.

    Returns:
        The commit, and the `folder_digest` of its snapshot.

    Raises:
        InvalidArgument: There is no such model or revision, or it is none that may be loaded.
        FailedPrecondition: The hub is switched off, and the cache does not have it.
        Unavailable: The hub does not answer.
    """
    if is_offline_mode():
        folder = download(name, revision, field)
        vet(folder, field)
        return folder.name, folder_digest(folder)
    with _hub_errors(name, field):
        # Kept in the cache too, for when the hub is not there.
        commit = HfApi().resolve_revision(name, revision=revision).resolved
        siblings = HfApi().model_info(name, revision=commit, files_metadata=True).siblings or []
        # Libraries load what the folder itself holds.
        vet_names([sibling.rfilename for sibling in siblings if "/" not in sibling.rfilename], field)
        decisive = [sibling for sibling in siblings if is_decisive(sibling.rfilename)]
        for sibling in decisive:
            vet_size(sibling.rfilename, sibling.size or 0, field)
        files = {sibling.rfilename: _hashed(name, commit, sibling) for sibling in decisive}
        vet_settings(Path(hf_hub_download(name, "config.json", revision=commit)).parent, field)
    return commit, content_digest(files)


def download(name: str, revision: str, field: str) -> Path:
    """A local copy of a model's `DECISIVE` files, and no others; errors as `pin`."""
    below = [f"*/{pattern}" for pattern in DECISIVE if "/" not in pattern]
    with _hub_errors(name, field):
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(DECISIVE),
            # In these patterns a star passes slashes too.
            ignore_patterns=below,
            local_files_only=is_offline_mode(),
        )
    if not any(file.suffix in (".safetensors", ".bin") for file in Path(folder).iterdir()):
        raise FailedPrecondition(f"the hub's cache holds {name} without its weights, and the hub cannot be reached")
    return Path(folder)


def read_config(name: str, commit: str, field: str) -> bytes:
    """A model's `config.json`; errors as `pin`."""
    with _hub_errors(name, field):
        return Path(hf_hub_download(name, "config.json", revision=commit)).read_bytes()


def _hashed(name: str, commit: str, sibling: RepoSibling) -> File:
    # Large files are told by their sha256; small ones by a git hash, so they are fetched.
    if sibling.lfs is not None:
        return File(sha256=sibling.lfs.sha256, size=sibling.lfs.size)
    return hash_file(Path(hf_hub_download(name, sibling.rfilename, revision=commit)))


@contextmanager
def _hub_errors(name: str, field: str) -> Iterator[None]:
    try:
        yield
    except HFValidationError as error:
        raise InvalidArgument(f"{field}.uri", f"is no name of a model on the hub: {error}") from error
    except RevisionNotFoundError as error:
        raise InvalidArgument(f"{field}.revision", f"is none of {name} on the hub") from error
    except RepositoryNotFoundError as error:
        raise InvalidArgument(f"{field}.uri", f"{name} is not on the hub, or not for this server's token") from error
    except LocalEntryNotFoundError as error:
        if is_offline_mode():
            raise FailedPrecondition(
                f"{name} is not in the hub's cache at that revision, and the hub is switched off (HF_HUB_OFFLINE)"
            ) from error
        raise Unavailable(f"the hub does not answer, and its cache does not have {name}") from error
    except EntryNotFoundError as error:
        raise InvalidArgument(f"{field}.uri", f"cannot be loaded: {name} has no config.json") from error
    except (HTTPError, OSError, RevisionResolutionError) as error:
        raise Unavailable(f"the hub does not answer for {name}: {error}") from error
