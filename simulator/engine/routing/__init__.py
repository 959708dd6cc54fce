"""Who serves a request, and what happens when that fails."""
