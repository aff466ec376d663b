"""MLflow, a view of what DVC owns: the only package that imports mlflow."""
