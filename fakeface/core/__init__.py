"""Parameters, errors, files and the runner of programs: what every package may import."""
