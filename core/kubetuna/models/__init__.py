"""Models made of results: trained with the winner's parameters, judged by the protocol, tested once."""
