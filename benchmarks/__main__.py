"""Run every benchmark: ``make bench``."""

from benchmarks import batches, claims, full_refresh, indexes, loading

print("# What is claimed\n")
claims.main(**claims.arguments())
print("\n# Every way to load\n")
loading.main(5_000_000, None)
print("\n# The indexes of new partitions\n")
indexes.main(indexes.SIZES)
print("\n# A full refresh\n")
full_refresh.main(5)
print("\n# What a batch costs\n")
batches.main([1, 10, 50])
