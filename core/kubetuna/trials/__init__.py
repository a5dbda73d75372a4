"""What a trial is: attempts, outcomes, the stored record, the observed snapshot, and how trials add up."""
