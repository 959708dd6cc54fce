"""Who may see protected health information: a register of models, the data flow, what is refused. No legal advice."""
