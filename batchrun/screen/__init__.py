"""What people see of a run: its counts, its progress, its status file and its summary."""
