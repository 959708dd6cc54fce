"""Clinical demand: calendars, arrivals, token lengths, traces."""
