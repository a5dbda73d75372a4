"""What is used to develop kubetuna: a local cluster, figures on the code, the docs."""
