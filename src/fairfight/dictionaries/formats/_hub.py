"""Fetch a dictionary's folder from the Hugging Face hub, by a pinned revision and nothing but the files that are read."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path

from fairfight.errors import InputError


def fetched(identifier: str, revision: str | None, subfolder: str | None, names: Iterable[str]) -> Path:
    """Give the local copy of `owner/name[/sub/folder]@revision`.

    Only `names` inside the subfolder are fetched, so that a repository of a hundred dictionaries costs one.

    Raises:
        InputError: it is no hub id, no revision pins it, it is offline, or the repository has no such folder.
    """
    name, _, pinned = identifier.partition("@")
    parts = name.split("/")
    if len(parts) < 2 or not all(parts) or name.startswith((".", "/")):
        raise InputError(
            f"'{identifier}' is no folder or file here and no Hugging Face id, which is written "
            "owner/name[/sub/folder]@revision. Check the path."
        )
    revision, repository = revision or pinned, "/".join(parts[:2])
    if not revision:
        raise InputError(
            f"'{identifier}' is no folder here, and as a Hugging Face id it names no revision, so its weights could change "
            f"between two runs. Write '{name}@<commit>'; the commit stands on the repository's page, under Files."
        )
    inside = "/".join(filter(None, [*parts[2:], (subfolder or "").strip("/")]))
    folder = _snapshot(repository, revision, _patterns(inside, names)) / inside
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(
            f"The repository '{repository}' at revision '{revision}' has no dictionary in '{inside or '.'}'. Look under Files "
            f"on its page, and write the folder behind the name: {repository}/<folder>@{revision}."
        )
    return folder


def _patterns(inside: str, names: Iterable[str]) -> list[str]:
    """Give the paths to fetch: exact ones, because a star would match through folders."""
    is_file = posixpath.splitext(inside)[1] in {".pt", ".npz"}
    base = posixpath.dirname(inside) if is_file else inside
    paths = {posixpath.normpath(posixpath.join(base, name)) for name in names} | ({inside} if is_file else set())
    return sorted(path for path in paths if not path.startswith(".."))


def _snapshot(repository: str, revision: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in {"1", "ON", "YES", "TRUE"}
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns, local_files_only=offline))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        why = "HF_HUB_OFFLINE is set and it is not in the local cache" if offline else "it could not be fetched"
        raise InputError(
            f"The dictionary '{repository}' at revision '{revision}' is not here: {why} ({type(error).__name__}: {error}). "
            "Check the id and the network, or fetch the folder elsewhere and give its path."
        ) from error
