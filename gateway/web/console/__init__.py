"""The console at `/`: one page that uses the public API only, as plain ES modules and CSS without a build step."""

from gateway.web.console.pages import blueprint

__all__ = ["blueprint"]
