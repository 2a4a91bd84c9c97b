"""Sessions in a JSON file that a person can read and edit, for any number of processes of one host."""

from gateway.sessions.jsonfile.file import SessionsFile
from gateway.sessions.jsonfile.open import open_json
from gateway.sessions.jsonfile.store import JsonStore

__all__ = ["JsonStore", "SessionsFile", "open_json"]
