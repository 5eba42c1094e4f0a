"""The REST API of objections: for persons, who have no account, and for the providers' data nodes."""
