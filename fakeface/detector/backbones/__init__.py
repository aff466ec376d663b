"""Networks from libraries that only they need: each module is imported when its network is asked for."""
