"""/openapi.json and /docs: what every route takes and gives, made from the types in this package."""

from gateway.web.api.pages import blueprint

__all__ = ["blueprint"]
