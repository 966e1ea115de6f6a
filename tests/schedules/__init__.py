"""The examples of jobs/schedules, run as make, cron, systemd and Airflow run them."""
