"""Run every benchmark: ``make bench``."""

from benchmarks import batches, full_refresh

print("# A full refresh\n")
full_refresh.main(5)
print("\n# What a batch costs\n")
batches.main([1, 10, 50])
