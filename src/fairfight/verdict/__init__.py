"""From the ledger to a word: who won, by how much, and how sure that is. Reads files, measures nothing."""
