"""`python -m agent`: the same as the `agent` script, for a checkout that is not installed."""

from agent.cli import main

if __name__ == "__main__":
    main()
