"""Where should a hospital's language models run? A discrete-event simulator of LLM serving, with the bill."""
