"""The HTTP face: `create_app()` is the application that gunicorn, `gateway serve` and the tests run."""

from gateway.web.app import create_app

__all__ = ["create_app"]
