"""`agent bench` at work: many runs at once over one engine, within one budget. Its record is runs/bench/."""
