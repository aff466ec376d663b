"""The embedded sample: drawn portraits and the copies that a small generator makes of them."""
