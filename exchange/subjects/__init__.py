"""What persons in the tables may do, who are no members of the exchange: object, and be answered."""
