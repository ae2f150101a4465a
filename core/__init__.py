"""What it does: recipes, engine, reruns, triggers, connectors; knows no screen."""
