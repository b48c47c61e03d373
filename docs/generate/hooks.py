"""What the site says of links that leave it: the files of the repository are named, and not linked to."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\(((?!https?:|mailto:|#)[^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Leaves of such a link its text, and the path where the text does not say it."""
    folder = posixpath.dirname(page.file.src_uri)

    def shown(match: re.Match[str]) -> str:
        text, target = match[1], posixpath.normpath(posixpath.join(folder, match[2]))
        if not target.startswith(".."):
            return match[0]
        path = target.removeprefix("../")
        return text if path.rstrip("/") in text.strip("`") else f"{text} (`{path}`)"

    return _LINK.sub(shown, markdown)
