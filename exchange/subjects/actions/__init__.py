"""What may be done with objections."""
