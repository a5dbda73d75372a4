"""Task 2: a language model that learns from the market to trade on the news."""
