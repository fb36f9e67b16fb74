"""What is measured; every metric keeps counts, merges by adding them, and gives None where there is nothing."""
