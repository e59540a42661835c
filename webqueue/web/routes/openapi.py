"""GET /openapi.json: what is here, for machines."""

ROUTES: list = []
