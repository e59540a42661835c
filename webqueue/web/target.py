"""TARGET of ``webqueue run``: ``module:attr``, ``module`` or ``path/to/file.py`` becomes a Flask application."""

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType, TracebackType
from typing import Any

from flask import Flask

from webqueue.errors import SettingsError, WebqueueError
from webqueue.handlers import Handler
from webqueue.web.app import create_app
from webqueue.web.extension import WebQueue

FACTORIES = ("create_app", "make_app")


def load(target: str | None, settings: Mapping[str, Any]) -> Flask:
    """The application that *target* holds, its engine started; the demo's without a target.

    Raises SettingsError where there is none, in one line; where the user's module raises, its traceback comes first.
    """
    if target is None:
        return create_app(**settings)
    place, _, name = target.rpartition(":") if ":" in target else (target, "", "")
    module = _run(target, lambda: _module(place))
    found = _named(target, module, name) if name else _search(target, module)
    app = _run(target, lambda: _application(found, settings))
    if not isinstance(app, Flask) or "webqueue" not in app.extensions:
        raise SettingsError(f"{target} is neither a WebQueue nor a Flask application with one.")
    return app


def _run(target: str, call: Any) -> Any:
    """The user's code runs: what it raises is told with its traceback, then in one line."""
    try:
        return call()
    except WebqueueError:
        raise
    except (Exception, SystemExit) as error:
        traceback.print_exception(error.with_traceback(_from_users_code(error.__traceback__)))
        raise SettingsError(f"{target} raised {type(error).__name__} while it was loaded.") from error


def _from_users_code(trace: TracebackType | None) -> TracebackType | None:
    """*trace* without the frames that led to the user's code."""
    while trace is not None and ("importlib" in (name := trace.tb_frame.f_code.co_filename) or name == __file__):
        trace = trace.tb_next
    return trace


def _module(place: str) -> ModuleType:
    path = os.path.abspath(place)
    if place.endswith(".py") or os.sep in place:
        if not os.path.isfile(path):
            raise SettingsError(f"There is no file {place}.")
        return _from_file(path)
    _importable(os.getcwd())
    if _missing(place):
        raise SettingsError(f"There is no module {place} here; a file is named with its ending: {place}.py")
    return importlib.import_module(place)


def _missing(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except ModuleNotFoundError as error:
        if name.startswith(f"{error.name}."):
            return True
        raise
    except ValueError:
        return True


def _from_file(path: str) -> ModuleType:
    _importable(os.path.dirname(path))
    name = os.path.basename(path).removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that what is defined in it can be pickled, for handlers in a process of their own
    spec.loader.exec_module(module)
    return module


def _importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _named(target: str, module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.removesuffix("()").split("."):
        if not hasattr(found, part):
            raise SettingsError(f"{target}: {module.__name__} has no {part}.")
        found = getattr(found, part)
    return found


def _search(target: str, module: ModuleType) -> Any:
    """An application that is made already comes first: a second one could not open its store."""
    values = list(vars(module).values())
    apps = [one for one in values if isinstance(one, Flask) and "webqueue" in one.extensions]
    queues = [one for one in values if isinstance(one, WebQueue)]
    factories = [getattr(module, name) for name in FACTORIES if callable(getattr(module, name, None))]
    found = next(iter([*_distinct(apps), *([] if factories else _distinct(queues)), *factories]), None)
    if found is None:
        raise SettingsError(f"{target} holds no WebQueue: jobs = WebQueue(), or name what holds it: {target}:ATTRIBUTE")
    if not apps and not factories and len(_distinct(queues)) > 1:
        raise SettingsError(f"{target} holds more than one WebQueue; say which: {target}:ATTRIBUTE")
    return found


def _distinct(values: list[Any]) -> list[Any]:
    return list({id(one): one for one in values}.values())


def _application(found: Any, settings: Mapping[str, Any]) -> Any:
    if isinstance(found, WebQueue):
        return found.create_app(**settings)
    if isinstance(found, Flask | Handler) or not callable(found):
        return found
    made = found()
    return made.create_app(**settings) if isinstance(made, WebQueue) else made
