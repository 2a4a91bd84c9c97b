"""What the stores in SQL and the local provider share: engines, connections, and their errors."""
