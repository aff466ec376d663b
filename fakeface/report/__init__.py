"""The answer on one page, its limits, and model cards."""
