"""The canonical trace: the table of requests, its file and header, and how logs become one."""
