"""What people touch: the dashboard, the HTTP API, the command line."""
