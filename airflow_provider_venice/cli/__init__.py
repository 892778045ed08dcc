"""``airflow venice …``: what a person or a script asks of Venice, and of the clips that Airflow knows."""
