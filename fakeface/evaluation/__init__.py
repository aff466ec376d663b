"""From image to score, metrics, figures."""
