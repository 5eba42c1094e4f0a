"""The chain of custody behind a result: who is responsible for each step, who signed it, where the log holds it."""
