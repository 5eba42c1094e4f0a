"""What can be done to computations: one module for each kind of step, every write in one transaction."""
