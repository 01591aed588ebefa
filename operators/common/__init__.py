"""What every operator file leans on: errors, lazy tables, numbers, randomness."""
