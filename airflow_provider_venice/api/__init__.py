"""The Venice protocol as values: no I/O, no clock, no Airflow."""
