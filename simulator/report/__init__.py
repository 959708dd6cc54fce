"""Results for people: terminal, HTML, Markdown."""
