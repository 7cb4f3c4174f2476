"""The folder in which posemon keeps what is to outlive a process."""

import re
from pathlib import Path

from posemon_otel import settings
from posemon_otel.settings import Settings


def state_folder(chosen: Settings) -> Path:
    """``$XDG_STATE_HOME/posemon``, by default ``~/.local/state/posemon``. It is not made here.

    Args:
        chosen: The settings.

    Raises:
        RuntimeError: There is no home folder, and no setting says where to.
    """
    home = chosen[settings.STATE_HOME]
    return (Path(home) if home else Path.home() / ".local" / "state") / "posemon"


def journals_folder(chosen: Settings) -> Path:
    """The folder in which each service has a folder of journals: ``POSEMON_JOURNAL_DIR``, else the state folder."""
    explicit = chosen[settings.JOURNAL_DIR]
    return Path(explicit).expanduser() if explicit else state_folder(chosen)


def journal_root(chosen: Settings, service: str) -> Path:
    """The folder in which the processes of a service keep their journals. It is not made here.

    Args:
        chosen: The settings.
        service: ``service.name``.

    Raises:
        RuntimeError: There is no home folder, and no setting says where to.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", service).lstrip(".") or "service"
    return journals_folder(chosen) / name
