"""Where the templates and the static files are."""

from pathlib import Path

from webqueue.errors import SettingsError

_PACKAGE = Path(__file__).resolve().parent.parent


def folder(name: str) -> Path:
    """The folder *name* inside the package (as installed), else beside it (in a checkout). Raises SettingsError."""
    inside, beside = _PACKAGE / name, _PACKAGE.parent / name
    if inside.is_dir():
        return inside
    if beside.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return beside
    raise SettingsError(f"This installation of webqueue is broken: there is no folder {inside}. Install it again.")
