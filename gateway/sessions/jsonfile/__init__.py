"""Sessions in a JSON file that a person can read and edit, for any number of processes of one host."""

from gateway.sessions.jsonfile.manager import JsonFileSessionManager
from gateway.sessions.jsonfile.opening import open_json
from gateway.sessions.jsonfile.sessions_file import SessionsFile

__all__ = ["JsonFileSessionManager", "SessionsFile", "open_json"]
