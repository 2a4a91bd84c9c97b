"""What is done to whole sessions: made, reset, forked, renamed, written to, erased, expired."""
