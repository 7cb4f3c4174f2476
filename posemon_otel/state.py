"""The folder in which posemon keeps what is to outlive a process."""

import os
import re
from pathlib import Path
from zlib import crc32

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
    return journals_folder(chosen) / _name(service)


def spare_root(root: Path) -> Path:
    """The folder that stands in for a service's folder that cannot be written: in memory, where there is such.

    It is this user's alone, which journals check. It is not made here.

    Args:
        root: The folder that it stands in for, as ``journal_root`` tells.
    """
    memory = Path("/dev/shm")  # noqa: S108 - see above
    if not memory.is_dir():
        import tempfile

        memory = Path(tempfile.gettempdir())
    return memory / f"posemon-{os.getuid()}-{root.name}-{crc32(os.fsencode(root)):08x}"


def _name(service: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", service).lstrip(".") or "service"
