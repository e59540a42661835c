"""A marshmallow schema as JSON Schema, by apispec."""

from functools import lru_cache
from typing import Any

from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import EXCLUDE, INCLUDE, Schema

ANYTHING: dict[str, Any] = {"type": "object", "additionalProperties": True}


def json_schema(schema: Schema | None) -> dict[str, Any]:
    """The JSON Schema (as OpenAPI 3.1 has it) of what *schema* takes; without one any object."""
    if schema is None:
        return ANYTHING
    converted: dict[str, Any] = dict(_converter().schema2jsonschema(schema))  # type: ignore[no-untyped-call]
    converted["additionalProperties"] = schema.unknown in (INCLUDE, EXCLUDE)
    return converted


@lru_cache(maxsize=1)
def _converter() -> OpenAPIConverter:
    return OpenAPIConverter("3.1.0", schema_name_resolver=lambda _: None, spec=None)  # type: ignore[arg-type]
