"""The folder in which posemon keeps what is to outlive a process."""

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
