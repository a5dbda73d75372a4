"""What a study found, written for people: the report, comparisons, summaries, result folders."""
