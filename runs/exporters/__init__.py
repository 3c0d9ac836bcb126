"""Where a record can be sent after the run: one file per destination, with `send(reading, ...)`.

Field names follow the OpenTelemetry conventions for generative AI.
"""
