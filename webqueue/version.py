"""The version, as the installed package says it."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("webqueue")
except PackageNotFoundError:  # a bare checkout on the path
    VERSION = "0+checkout"
