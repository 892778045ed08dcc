"""What users and operators call."""
