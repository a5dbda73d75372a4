"""What a Pod's object says of the attempt that it is, and the Pods of each Experiment."""
